"""Shares as people write them."""


def percent(share: float) -> str:
    """A share from 0 to 1 in per cent: what is rare does not become 0 %, nor what is almost all 100 %.

    Example:
        >>> [percent(share) for share in (0.0, 0.0004, 0.003, 0.0312, 0.47, 0.992, 0.9999, 1.0)]
        ['0 %', '< 0.1 %', '0.3 %', '3 %', '47 %', '99.2 %', '> 99.9 %', '100 %']
    """
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    if share < 0.001:
        return "< 0.1 %"
    if share > 0.999:
        return "> 99.9 %"
    return f"{100 * share:.{0 if 0.0095 <= share <= 0.99 else 1}f} %"
