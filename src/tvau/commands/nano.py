"""`tvau nano`: the blueprint of the embedded LVLM."""


def nano(folder: str, vocabulary: int = 1024, layers: int = 4, width: int = 256, heads: int = 4) -> None:
    """Writes configuration, tokenizer and processor of an untrained nano into a folder.

    Args:
        folder: where to.
        vocabulary: at most so many tokens; the words of the dialog come first, all bytes are covered.
        layers, width, heads: of the language model.
    """
    from tvau.nano.blueprint import create

    create(folder, vocabulary, layers, width, heads)
