"""Build Fashion-MNIST with prompts: each class in many wordings. No wording of a split is in another split.

A wording is a sentence around a noun. All splits share the nouns, because no encoder that learns from these sentences
alone can know a word that it never read. The sentences around them differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from stillhouse.tasks.data.format.dataset import Prompt
from stillhouse.tasks.data.sources.small import FASHION_LABELS

NOUNS: Mapping[str, tuple[str, ...]] = {
    "T-shirt/top": ("t-shirt", "tee", "short-sleeved top", "t shirt"),
    "Trouser": ("pair of trousers", "pair of pants", "pair of slacks", "trouser"),
    "Pullover": ("pullover", "sweater", "jumper", "knitted pullover"),
    "Dress": ("dress", "gown", "summer dress", "frock"),
    "Coat": ("coat", "overcoat", "winter coat", "long jacket"),
    "Sandal": ("sandal", "open shoe", "summer sandal", "strappy sandal"),
    "Shirt": ("shirt", "button-up shirt", "blouse", "shirt with a collar"),
    "Sneaker": ("sneaker", "trainer", "running shoe", "gym shoe"),
    "Bag": ("bag", "handbag", "purse", "shoulder bag"),
    "Ankle boot": ("ankle boot", "boot", "short boot", "leather boot"),
}
"""Class -> its nouns, which begin with a consonant or take "an"."""
SENTENCES: Mapping[str, tuple[str, ...]] = {
    "train": (
        "{noun}", "{a} {noun}", "the {noun}", "a picture of {a} {noun}", "a photo of {a} {noun}",
        "an image of {a} {noun}",
        "draw {a} {noun}", "show me {a} {noun}", "i want {a} {noun}", "{a} small {noun}", "{a} {noun} on black",
        "one {noun}", "this is {a} {noun}", "{a} grey {noun}", "make {a} {noun}", "{a} {noun} from a shop",
        "a simple picture of {a} {noun}", "my new {noun}", "{a} nice {noun}", "a drawing of {a} {noun}",
        "what {a} {noun} looks like", "only {a} {noun}", "{a} {noun} please", "paint {a} {noun} for me",
    ),
    "calibration": ("give us {a} {noun}", "a sketch of the {noun}", "here is {a} {noun}"),
    "validation": ("create {a} {noun}", "{a} {noun} in grey tones", "a tiny photo of the {noun}", "any {noun}"),
    "gate": (
        "could you draw {a} {noun}?", "a catalogue picture of {a} {noun}", "generate {a} {noun}", "some {noun}",
        "a plain {noun}, seen from the front", "we need {a} {noun}", "a black and white {noun}", "{a} {noun} for sale",
    ),
    "test": (
        "please show {a} {noun}", "a thumbnail of {a} {noun}", "{a} {noun} without background", "render {a} {noun}",
        "another {noun}", "i am looking for {a} {noun}", "a low resolution {noun}", "product image: {noun}",
    ),
}  # fmt: skip
"""Split -> its sentences."""


@dataclass(frozen=True)
class Wording:
    """One noun in one sentence."""

    sentence: str
    noun: str

    @property
    def text(self) -> str:
        """Return the sentence with the noun and its article."""
        return self.sentence.format(noun=self.noun, a="an" if self.noun[0] in "aeiou" else "a")


def fashion_prompts() -> list[Prompt]:
    """Return every wording of every class, with its split."""
    return [
        Prompt(text=Wording(sentence, noun).text, label=label, split=split)
        for split, sentences in SENTENCES.items()
        for label, name in enumerate(FASHION_LABELS)
        for noun in NOUNS[name]
        for sentence in sentences
    ]
