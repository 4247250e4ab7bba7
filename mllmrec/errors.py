"""The one exception that reaches a user as a sentence instead of a traceback."""


class Refusal(Exception):
    """A fault in what the user gave, told in three beats: wrong, allowed, what to type.

    ``wrong`` names file, line, field and value; ``allowed`` says what would be accepted;
    ``do`` is the command or override to type. The entrypoint prints it and exits with 1.
    """

    def __init__(self, wrong: str, *, allowed: str, do: str) -> None:
        self.wrong, self.allowed, self.do = wrong, allowed, do
        super().__init__(f"{wrong} · {allowed} · {do}")
