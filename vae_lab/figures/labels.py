"""Names of the configuration as the field writes them."""

import functools
import re

CLASS = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+")
CAPITALS = (
    "ARM", "Bernoulli", "Cauchy", "CIWAE", "DisARM", "DReG", "ELBO", "Gaussian", "IWAE", "Laplace", "LAX",
    "MIWAE", "NVIL", "OVIS", "PIWAE", "REBAR", "RELAX", "RLOO", "STL", "Taylor", "VIMCO", "Weibull",
)  # fmt: skip
SPELT = {
    "rao blackwell": "Rao-Blackwell",
    "gumbel softmax": "Gumbel-softmax",
    "straight through": "straight-through",
    "measure valued": "measure-valued",
    "student t": "Student's t",
    "wake sleep": "wake-sleep",
}


def label(name: str) -> str:
    """A configuration's name as words, with the field's own capitals; the path of a class as it is.

    Example:
        >>> label("my_package.mine.Mine")
        'my_package.mine.Mine'
        >>> label("stl_iwae"), label("score_function"), label("rao_blackwell"), label("student_t")
        ('STL IWAE', 'score function', 'Rao-Blackwell', "Student's t")
    """
    if CLASS.fullmatch(name):
        return name
    capitals = {word.lower(): word for word in CAPITALS}
    words = " ".join(capitals.get(word, word) for word in name.split("_"))
    return functools.reduce(lambda text, spelt: text.replace(*spelt), SPELT.items(), words)
