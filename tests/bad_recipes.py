"""Recipe files that people and programs really leave behind, each with what its refusal must say."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "dags" / "recipes"
SEED = (RECIPES / "seed_digits.yaml").read_text(encoding="utf-8")
TEACHER = SEED[SEED.index("teacher:") : SEED.index("steps:")]
NETWORK = "network:\n    name: multimodal_big_model\n"
STEP = "- method: prune_unstructured\n    sparsity: 0.5"


def seed_with(old: str, new: str) -> bytes:
    """Give the seed recipe with one piece of its text replaced."""
    assert old in SEED
    return SEED.replace(old, new, 1).encode()


def channels(value: str) -> bytes:
    return seed_with("channels: 32", f"channels: {value}")


def seed(value: str) -> bytes:
    return seed_with("seed: 7", f"seed: {value}")


def schedule(value: str) -> bytes:
    return seed_with("schedule: null", f"schedule: {value}")


def latency(keys: str) -> bytes:
    return seed_with(SEED[SEED.index("latency:") : SEED.index("\ngate:")], f"latency: {{{keys}}}")


def promotion(value: str) -> bytes:
    return seed_with("steps:", f"promotion: {value}\nsteps:")


def teacher(text: str) -> bytes:
    return seed_with(TEACHER, text)


def network(name: str, arguments: str) -> bytes:
    return seed_with(NETWORK, f"network:\n    name: {name}\n    arguments: {arguments}\n")


PLAIN = "{widths: [8, 8], strides: [2, 2], pool: 2}"
SPEECH = "{dimension: 8, bands: 24, hop: 320, stem: [8], widths: [8], kernel: 3, reader: [8], hidden: 8}"
FANOUT = "".join(f"x{level}: &x{level} [{', '.join([f'*x{level - 1}'] * 9)}]\n" for level in range(1, 12))

BAD: dict[str, tuple[bytes, str]] = {
    # what is no text, or no YAML
    "nothing": (b"", "recipe: Input should be a mapping of keys, not null"),
    "comments only": (b"# to do\n", "recipe: Input should be a mapping of keys, not null"),
    "latin-1 text": ("description: Kätzchen".encode("latin-1"), r"not UTF-8 \(byte 0xe4 in line 1\); save it as UTF-8"),
    "UTF-16 text": (SEED.encode("utf-16"), r"not UTF-8 \(byte 0xff in line 1\)"),
    "an AppleDouble header": (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X", "#x0000: special characters"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00", "not UTF-8"),
    "a list": (b"- name: seed_digits\n", "recipe: Input should be a mapping of keys"),
    "one word": (b"seed_digits", "recipe: Input should be a mapping of keys, not 'seed_digits'"),
    "a number": (b"7", "recipe: Input should be a mapping of keys, not 7"),
    "JSON cut off": (b'{"name": "seed_digits", ', "is not YAML .*mend that line"),
    "two documents": (SEED.encode() + b"---\n" + SEED.encode(), "a single document"),
    "a tabulator": (seed_with("  dataset", "\tdataset"), "is not YAML .*mend that line"),
    "an open quote": (schedule('"0 2 * * *'), "is not YAML .*mend that line"),
    "a conflict of git": (b"<<<<<<< HEAD\n" + SEED.encode(), "is not YAML .*mend that line"),
    "too much": (SEED.encode() + b"# and on\n" * 8000, r"has [0-9,]+ bytes where 65,536 are read; .* one recipe"),
    "a character that is none": (seed_with("seed: 7", 'seed: "\\U00110000"'), "is not YAML"),
    "half a character": (seed_with("seed: 7", 'seed: "\\ud800"'), r"U\+D800 .*remove it"),
    "a bell": (seed_with("seed: 7", 'seed: "\\a"'), r"U\+0007 .*remove it"),
    "NUL in a key": (seed_with("seed: 7", '"se\\0ed": 7'), r"U\+0000 .*remove it"),
    # what YAML allows and nobody means
    "a key twice": (SEED.encode() + b"seed: 8\n", "the key 'seed' twice, the second time in line .*keep one"),
    "a key twice inside": (latency("repeats: 5, repeats: 5"), "the key 'repeats' twice"),
    "a number as key": (seed_with("seed: 7", "7: 7"), "the key 7, which is no text"),
    "null as key": (seed_with("seed: 7", "~: 7"), "the key ~, which is no text"),
    "a list as key": (seed_with("seed: 7", "? [seed]\n: 7"), "a list or mapping, which is no text"),
    "a merge key": (seed_with("seed: 7", "<<: {seed: 7}"), "merge key <<.*write the keys out"),
    "a tag": (seed_with("seed: 7", "seed: !!int '7'"), "the tag .*remove the tag"),
    "an object of Python": (seed_with("seed: 7", "seed: !!python/object/apply:os.getpid []"), "remove the tag"),
    "an alias of itself": (seed_with("seed: 7", "seed: &a [*a]"), r"the alias \*a inside what it stands for"),
    "an alias of nothing": (seed_with("seed: 7", "seed: *a"), "undefined alias"),
    "a billion laughs": (f"x0: &x0 [1]\n{FANOUT}".encode(), "more than 10000 values, with those that aliases repeat"),
    "a deep list": (seed_with("seed: 7", "seed: " + "[" * 3000), "deeper than 20 .*write it flatter"),
    "deep blocks": (("- " * 3000 + "x").encode(), "deeper than 20 .*write it flatter"),
    # booleans and numbers of YAML 1.1, and of the wrong kind
    "yes as a seed": (seed("yes"), "seed: Input should be a valid integer, not 'yes'"),
    "true as a seed": (seed("true"), "seed: Input should be a valid integer, not true"),
    "on as a limit": (seed_with("quality: 0.95", "quality: on"), r"gate\.quality: Input should be a valid number"),
    "true as a limit": (seed_with("quality: 0.95", "quality: true"), r"gate\.quality: .*valid number, not true"),
    "text as a number": (seed('"7"'), "seed: Input should be a valid integer, not '7'"),
    "a whole number with a point": (seed("7.0"), "seed: Input should be a valid integer, not 7.0"),
    "minutes and seconds": (seed("1:30"), "seed: Input should be a valid integer, not '1:30'"),
    "a number with _": (seed("1_000"), "seed: Input should be a valid integer, not '1_000'"),
    "a date": (seed("2026-11-28"), "seed: Input should be a valid integer, not '2026-11-28'"),
    "yes as a switch": (
        seed_with("optimizer: adamw, weight_decay: 0.01}\nsteps", "augment: yes}\nsteps"),
        r"teacher\.training\.augment: Input should be a valid boolean, not 'yes'",
    ),
    "one as a switch": (
        seed_with("optimizer: adamw, weight_decay: 0.01}\nsteps", "augment: 1}\nsteps"),
        r"teacher\.training\.augment: Input should be a valid boolean, not 1",
    ),
    "infinity": (seed_with("bytes: 100", "bytes: .inf"), r"gate\.bytes: Input should be a finite number"),
    "infinity by exponent": (seed_with("bytes: 100", "bytes: 1e999"), r"gate\.bytes: Input should be a finite number"),
    "no number": (seed_with("sparsity: 0.5", "sparsity: .nan"), r"sparsity: Input should be a finite number"),
    "a number of 5,000 digits": (seed("9" * 5000), "a number of 5000 digits .*write a smaller one"),
    # numbers out of bounds
    "a seed too large": (seed("4294967296"), "seed: Input should be less than or equal to 4294967295"),
    "a negative seed": (seed("-1"), "seed: Input should be greater than or equal to 0"),
    "one seed of several": (seed_with("seed: 7", "seed: 7\nseeds: [7]"), "seeds: .*at least 2"),
    "no channels": (channels("0"), r"network\.arguments\.channels: Input should be greater than or equal to 1, not 0"),
    "negative channels": (channels("-4"), r"network\.arguments\.channels: .*greater than or equal to 1, not -4"),
    "too many channels": (channels("1e9"), r"network\.arguments\.channels: Input should be a valid integer"),
    "far too many channels": (channels("1000000000"), r"channels: Input should be less than or equal to 8192"),
    "channels as text": (channels("many"), r"channels: Input should be a valid integer, not 'many'"),
    "epochs for ever": (seed_with("epochs: 12", "epochs: 1000000"), r"epochs: .*less than or equal to 10000"),
    "an empty batch": (seed_with("batch_size: 64", "batch_size: 0"), r"batch_size: .*greater than or equal to 1"),
    "a batch too large": (seed_with("batch_size: 64", "batch_size: 99999999"), r"batch_size: .*less than or equal"),
    "a rate too large": (seed_with("learning_rate: 0.001", "learning_rate: 1e31"), r"learning_rate: .*less than or eq"),
    "frozen solid": (seed_with("temperature: 4", "temperature: 0"), r"temperature: .*greater than or equal to 0\.01"),
    "a hot teacher": (seed_with("temperature: 4", "temperature: 1e30"), r"temperature: .*less than or equal to 100"),
    "an hour of rounds": (latency("repeats: 1000000"), r"latency\.repeats: .*less than or equal"),
    "a long pause": (latency("pause_seconds: 1e9"), r"latency\.pause_seconds: .*less than or equal to 600"),
    "an answer in a million years": (promotion("{answer_hours: 1e12}"), r"promotion\.answer_hours: .*less than or eq"),
    "everything stays": (
        seed_with("sparsity: 0.5", "pattern: '4:2'"),
        "pattern 4:2 keeps every weight; make its first",
    ),
    # networks
    "an unknown network": (
        network("resnet", "{}"),
        r"teacher\.network\.name: there is no network 'resnet'; use one of",
    ),
    "an unknown argument": (channels("32, depth: 3"), r"network\.arguments\.depth: Extra inputs are not permitted"),
    "a missing argument": (network("plain", "{}"), r"teacher\.network\.arguments\.widths: Field required"),
    "no arguments": (seed_with("name: multimodal_big_model", "name: plain"), r"arguments\.widths: Field required"),
    "a width of 0": (network("plain", PLAIN.replace("[8, 8]", "[8, 0]")), r"arguments\.widths\.1: .*equal to 1, not 0"),
    "a width that is none": (network("plain", PLAIN.replace("[8, 8]", "[8, null]")), r"widths\.1: .*integer, not null"),
    "one width as number": (network("plain", PLAIN.replace("[8, 8]", "8")), r"widths: Input should be a list, not 8"),
    "a stride of 0": (network("plain", PLAIN.replace("[2, 2]", "[2, 0]")), r"arguments\.strides\.1: .*equal to 1"),
    "a stride too few": (network("plain", PLAIN.replace("[2, 2]", "[2]")), "widths lists 2 layers, strides lists 1"),
    "no layers": (network("plain", "{widths: [], strides: [], pool: 2}"), r"widths: Tuple should have at least 1 item"),
    "a pool of 0": (network("plain", PLAIN.replace("pool: 2", "pool: 0")), r"arguments\.pool: .*equal to 1"),
    "an unknown block": (network("residual", "{stem: 8, widths: [8], strides: [2], block: deep}"), r"block: .*'basic'"),
    "a hop of 0": (
        network("speech_plain_encoder", SPEECH.replace("hop: 320", "hop: 0")),
        r"arguments\.hop: .*equal to 16",
    ),
    # sections
    "an empty teacher": (teacher("teacher:\n"), "teacher: Input should be a mapping of keys, not null"),
    "a teacher's name": (teacher("teacher: resnet\n"), "teacher: Input should be a mapping of keys, not 'resnet'"),
    "a list of teachers": (teacher("teacher: [resnet]\n"), "teacher: Input should be a mapping of keys"),
    "no teacher": (teacher(""), "teacher: Field required"),
    "a file's name as teacher": (
        teacher("teacher: {onnx: 3}\n"),
        r"teacher\.onnx: Input should be a valid string, not 3",
    ),
    "empty components": (
        teacher("teacher: {components: [image]}\n"),
        r"teacher\.components: Input should be a valid dictionary",
    ),
    "an empty step": (seed_with("- method: quantize", "-"), r"steps\.2: Input should be a mapping of keys, not null"),
    "a step's name": (seed_with("- method: quantize", "- quantize"), r"steps\.2: .*mapping of keys, not 'quantize'"),
    "a step without method": (
        seed_with(STEP, "- sparsity: 0.5"),
        r"steps\.1: Unable to extract tag using discriminator",
    ),
    "steps as a word": (
        seed_with(SEED[SEED.index("steps:") : SEED.index("latency:")], "steps: all\n"),
        "steps: .*a list",
    ),
    "an empty gate": (
        seed_with("\n  quality: 0.95\n  bytes: 100\n  latency: 2", ""),
        "gate: .*mapping of keys, not null",
    ),
    "a misspelt key": (seed_with("seed:", "sed:"), "sed: Extra inputs are not permitted"),
    "a dataset elsewhere": (seed_with("dataset: digits", "dataset: ../digits"), r"data\.dataset: String should match"),
    "no dataset": (seed_with("dataset: digits", "dataset: ''"), r"data\.dataset: String should match"),
    "two owners": (seed_with("seed: 7", "owner: a, b\nseed: 7"), "owner: String should match"),
    "no description": (
        seed_with(SEED[SEED.index("description:") : SEED.index("\nschedule")], "description: ''"),
        "description: String should have at least 1 character",
    ),
    "another name": (seed_with("name: seed_digits", "name: digits"), "calls itself 'digits'; give the file and the re"),
    "a name with an end of line": (
        seed_with("name: seed_digits", 'name: "seed_digits\\n"'),
        "name: String should match",
    ),
    # schedules
    "hour 24": (schedule('"0 24 * * *"'), r"schedule: '0 24 \* \* \*' never fires .*out of range.*write minute, hour"),
    "every night": (schedule("every night"), "schedule: 'every night' has no five fields .*write minute, hour"),
    "the 30th of February": (schedule('"0 0 30 2 *"'), "schedule: .*never fires .*or null for by hand only"),
    "the 31st of short months": (schedule('"0 0 31 4,6,9,11 *"'), "schedule: .*never fires"),
    "a weekday that is none": (schedule('"0 2 * * 8"'), "schedule: .*never fires"),
    "every zeroth minute": (schedule('"*/0 * * * *"'), "schedule: .*never fires"),
    "seconds": (schedule('"* * * * * *"'), "schedule: .*has no five fields"),
    "once": (schedule('"@once"'), "schedule: '@once' never fires"),
    "always": (schedule('"@continuous"'), "schedule: '@continuous' never fires"),
    "an empty schedule": (schedule('""'), "schedule: '' has no five fields"),
    "at random": (schedule('"R R * * *"'), "schedule: .*leaves a field to chance"),
    "by hash": (schedule('"H 2 * * *"'), "schedule: .*leaves a field to chance"),
    "a number as schedule": (schedule("2"), "schedule: Input should be a valid string, not 2"),
    "false as schedule": (schedule("false"), "schedule: Input should be a valid string, not false"),
    "a minute of 50,000 numbers": (schedule('"' + "0," * 25000 + '0 2 * * *"'), "has no five fields"),
}
"""What is wrong -> the bytes of a file `seed_digits.yaml`, and what its refusal matches."""
