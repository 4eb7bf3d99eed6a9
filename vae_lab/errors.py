"""The one kind of error that is shown to the user without a traceback."""


class UserError(Exception):
    """A mistake or a circumstance that the user can mend; its text names what, where, and the fix."""
