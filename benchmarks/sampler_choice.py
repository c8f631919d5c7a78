"""Which sampler suits a generator best? Quality, Frechet distance and cost of several, on the split `validation`.

`python benchmarks/sampler_choice.py FOLDER DATA [MODEL]` takes the folder of a stage `export`, a materialised dataset,
and `teacher` or `student`. A recipe takes `steps` and `solver` from the table. The stage `teacher` chooses `guidance`.
"""

import sys
from itertools import product
from pathlib import Path

from stillhouse.models.measurement.frechet import frechet_distance
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.workloads.registry import JUDGES
from stillhouse.models.workloads.text_to_image.flow import Sampler
from stillhouse.models.workloads.text_to_image.judging.shown import shown
from stillhouse.models.workloads.text_to_image.runtime import Generator, TextToImage

SOLVERS = (("heun", 4), ("heun", 8), ("heun", 16), ("euler", 16), ("euler", 50))
GUIDANCE = (1.0, 1.25, 1.5, 2.0, 3.0)


def main() -> None:
    """Measure and print."""
    folder, data = map(Path, sys.argv[1:3])
    model = Generator(open_bundle(folder / (sys.argv[3] if len(sys.argv) > 3 else "teacher")))  # noqa: PLR2004 - optional
    runtime = TextToImage()
    split = runtime.with_judges(runtime.load_split(data, "validation"), folder / "references" / JUDGES)
    conditions_ND, seeds = model.read(split.prompts.texts)[split.places_N], list(range(len(split.places_N)))
    first_NF, second_NF = map(split.judge.features, split.halves)
    real = frechet_distance(first_NF, second_NF)
    print(f"{len(seeds)} pictures each; two halves of the real pictures are {real:.4f} apart")
    for (solver, steps), guidance in product(SOLVERS, GUIDANCE):
        model.sampler = Sampler(steps, guidance, solver)  # type: ignore[arg-type]
        images_NCHW = model.make(conditions_ND, seeds)
        right = float(shown(split.judge.logits(images_NCHW), split.labels_N).mean())
        distance = frechet_distance(split.judge.features(images_NCHW), second_NF)
        calls = steps * (2 if solver == "heun" else 1) * (1 if guidance == 1 else 2)
        print(f"{solver} {steps}, guidance {guidance}: {calls} calls, {right:.2%} right, {distance / real:.1f} times")


if __name__ == "__main__":
    main()
