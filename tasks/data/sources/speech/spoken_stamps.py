"""The spoken captions of Tux Paint's stamps, split by stamp: no caption of a judged stamp is heard in training."""

from collections.abc import Iterator, Sequence

from stillhouse.models.data.transcripts import normalise_transcript
from stillhouse.tasks.data.sources.speech.groups import deal_groups, group_by_sentence
from stillhouse.tasks.data.sources.speech.row import Row
from stillhouse.tasks.data.sources.stamp_files import Stamp
from stillhouse.tasks.data.sources.stamps import Chosen


def read_spoken_stamps(chosen: Chosen, shares: Sequence[tuple[str, float]]) -> Iterator[Row]:
    """Read the recordings of the chosen stamps. Stamps that share a sentence in any language are one group."""
    group = group_by_sentence({stamp.name: _sentences(stamp) for stamp in chosen.stamps})
    splits = deal_groups(group, shares)
    for stamp in chosen.stamps:
        for language, file in stamp.recordings.items():
            yield Row(
                name=stamp.name,
                audio=(chosen.folder / file).read_bytes(),
                text=stamp.captions[language],
                language=language,
                voice=f"stamps-{language}",
                group=group[stamp.name],
                split=splits[stamp.name],
            )


def _sentences(stamp: Stamp) -> list[str]:
    return [normalise_transcript(sentence) or sentence.casefold() for sentence in stamp.captions.values()]
