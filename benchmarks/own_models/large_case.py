"""Does a model of 300 million parameters fit? Compress a text encoder with random weights, and print the peak memory.

`python benchmarks/own_models/large_case.py FOLDER [LAYERS]` needs 8 GB in FOLDER and about half an hour on two cores.
The encoder has the shape of BERT large: 24 layers, 335 million parameters. Its weights are random, so its quality says
nothing; its bytes, its seconds and its memory are those of a real one.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
LARGE = {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096, "vocab_size": 30_522}
TEXTS = 400
GOALS = ("--keep", "50%", "--smaller", "3.5x", "--faster", "1.2x", "--minutes", "60")


def main(root: Path, layers: int) -> None:
    """Write the encoder and the texts, compress, print."""
    write_texts(root / "texts.txt")
    write_encoder(root / "large", root / "texts.txt", layers)
    began = time.monotonic()
    command = [sys.executable, "-m", "stillhouse.tasks.cli", "compress", str(root / "large"), "--data"]
    done = subprocess.run(
        [*command, str(root / "texts.txt"), "--task", "text-embedding", *GOALS], cwd=root, check=False
    )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"exit code {done.returncode}, {time.monotonic() - began:.0f} s, largest process {peak / 2**30:.1f} GiB")


def write_texts(path: Path) -> None:
    """Write random sentences."""
    generator = np.random.default_rng(0)
    words = ["".join(generator.choice(list("abcdefghijklmnoprstuvwy"), 6)) for _ in range(2_000)]
    lines = [" ".join(generator.choice(words, 8)) for _ in range(TEXTS)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def write_encoder(folder: Path, texts: Path, layers: int) -> None:
    """Save an encoder as transformers and sentence-transformers do."""
    import transformers

    if (folder / "modules.json").exists():
        return
    folder.mkdir(exist_ok=True)
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train([str(texts)], trainers.WordPieceTrainer(vocab_size=5_000, special_tokens=SPECIAL))
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = processors.BertProcessing(*ends)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = transformers.BertConfig(**LARGE, num_hidden_layers=layers)
    transformers.BertModel(config).save_pretrained(folder)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}), encoding="utf-8")
    chained = [{"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Pooling")]
    (folder / "modules.json").write_text(json.dumps(chained), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 24)  # noqa: PLR2004
