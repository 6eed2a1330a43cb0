"""Shell scripts that divide a sweep's pairs: one for each part, and one that runs all parts.

Each script calls `fastcka pair` for each of its configurations, so that the parts are even whatever
the groups of the sweep are. ``fastcka run --shard`` needs no scripts and reads each model once.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fastcka.pair.planned import PlannedPair


def script_files(
    pairs: Sequence[PlannedPair], *, name: str, chunks: int, configs: Path, logs: Path
) -> dict[str, bytes]:
    """Return ``run_<name>_chunk<i>.sh`` and a script that runs all of them at the same time.

    Parameters
    ----------
    pairs
        All pairs of the sweep.
    name
        What the sweep is called.
    chunks
        Number of parts. Their numbers of pairs differ by one at most, their costs by little.
    configs, logs
        The folders of the configurations, and of what `fastcka pair` says of each.

    Raises
    ------
    InputError
        There are more chunks than pairs.
    """
    if not 1 <= chunks <= len(pairs):
        raise InputError(f"--chunks: expected 1 to {len(pairs)}, the number of pairs; got {chunks}")
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", name)
    scripts = {}
    for number, part in enumerate(divided([pair.cost for pair in pairs], chunks), start=1):
        scripts[f"run_{stem}_chunk{number}.sh"] = _CHUNK.format(
            title=f"Part {number} of {chunks}: {len(part)} of {len(pairs)} comparisons",
            configs=shlex.quote(str(configs)),
            logs=shlex.quote(str(logs / f"chunk{number}")),
            part=f"chunk {number} of {chunks}",
            jobs="\n".join(f"    {_job(pairs[position])}" for position in part),
        )
    scripts[f"run_{stem}_{chunks}chunks_parallel.sh"] = _PARALLEL.format(
        chunks=chunks, total=len(pairs), stem=stem, logs=shlex.quote(str(logs))
    )
    return {script: text.encode() for script, text in scripts.items()}


def divided(costs: Sequence[int], parts: int) -> list[list[int]]:
    """Return the positions in each part, in order, with even numbers and then even costs.

    Every round deals one position to each part, the dearest positions first; the dearest of a
    round goes to the part with the lowest cost so far.
    """
    dearest = sorted(range(len(costs)), key=lambda position: (-costs[position], position))
    dealt: list[list[int]] = [[] for _ in range(parts)]
    loads = [0] * parts
    for start in range(0, len(dearest), parts):
        least = sorted(range(parts), key=lambda part: (loads[part], part))
        for position, part in zip(dearest[start : start + parts], least, strict=False):
            dealt[part].append(position)
            loads[part] += costs[position]
    return [sorted(part) for part in dealt]


def _job(pair: PlannedPair) -> str:
    return f"{shlex.quote(pair.file_name)} {shlex.quote(str(pair.config.output_dir))}"


_CHUNK: Final = """\
#!/usr/bin/env bash
# {title}.
# Pairs with results are skipped, unless --overwrite is given. To call fastcka in another way, set
# FASTCKA, for example FASTCKA="uv run fastcka".
set -euo pipefail

read -r -a fastcka <<<"${{FASTCKA:-fastcka}}"
configs={configs}
logs={logs}
# A configuration in $configs, and the folder of its results.
jobs=(
{jobs}
)

again=no
[[ " $* " == *" --overwrite "* ]] && again=yes
computed=0 there=0 failed=()
summary() {{
    local total=$((${{#jobs[@]}} / 2))
    local left=$((total - computed - there - ${{#failed[@]}}))
    printf '{part}: %d pairs: %d computed, %d there before, %d failed, %d not reached; %d s\\n' \\
        "$total" "$computed" "$there" "${{#failed[@]}}" "$left" "$SECONDS"
    if ((${{#failed[@]}})); then
        printf 'failed: %s\\n' "${{failed[@]}}"
    fi
}}

command -v "${{fastcka[0]}}" >/dev/null || {{
    printf '%s: no such command; set FASTCKA to what calls fastcka\\n' "${{fastcka[0]}}" >&2
    exit 127
}}
mkdir -p "$logs"
trap summary EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for ((job = 0; job < ${{#jobs[@]}}; job += 2)); do
    config=${{jobs[job]}} results=${{jobs[job + 1]}}
    if [[ $again == no && -f $results/summary.json ]]; then
        there=$((there + 1))
        continue
    fi
    log=$logs/${{config%.yaml}}.log
    if "${{fastcka[@]}}" pair "$configs/$config" "$@" >"$log" 2>&1; then
        computed=$((computed + 1))
    else
        failed+=("$config: $(tail -n 1 "$log") ($log)")
    fi
done
exit $((${{#failed[@]}} > 0))
"""

_PARALLEL: Final = """\
#!/usr/bin/env bash
# All {total} comparisons, in {chunks} parts at the same time; options go to each part.
set -euo pipefail

here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
logs={logs}
# The parts share the processors, so that each of them uses one thread.
export OMP_NUM_THREADS="${{OMP_NUM_THREADS:-1}}"

mkdir -p "$logs"
parts=()
stop() {{
    kill "${{parts[@]}}" 2>/dev/null || true
    wait
    exit "$1"
}}
trap 'stop 130' INT
trap 'stop 143' TERM
for ((chunk = 1; chunk <= {chunks}; chunk++)); do
    bash "$here/run_{stem}_chunk$chunk.sh" "$@" >"$logs/chunk$chunk.log" 2>&1 &
    parts+=($!)
done
failed=0
for ((chunk = 1; chunk <= {chunks}; chunk++)); do
    wait "${{parts[chunk - 1]}}" || failed=$((failed + 1))
    cat "$logs/chunk$chunk.log"
done
printf '%d of {chunks} parts without failures; %d s; logs in %s\\n' \\
    $(({chunks} - failed)) "$SECONDS" "$logs"
exit $((failed > 0))
"""
