"""Words for people who come and go."""


def hello(name: str) -> str:
    """Greet somebody who comes."""
    return f"Hello, {name.strip() or 'stranger'}!"
