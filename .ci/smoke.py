"""What an installed lucid_port has to do: run outside of the checkout, with the package's wheel installed.

    python .ci/smoke.py [SITE]

SITE is the folder that the package has to be imported from, where it matters. Only then is the import timed: a checkout
may have to be compiled first.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXTRAS = (
    "onnx",
    "torchvision",
    "nltk",
    "sklearn",
    "skimage",
    "scipy",
    "IPython",
    "matplotlib",
    "captum",
    "tensorflow",
)
COMPILERS = ("sympy", "torch._dynamo", "torch._inductor", "torch.fx.experimental.symbolic_shapes")
"""Modules of seconds that `import torch` leaves out; they are needed only where a network is compiled."""
MOST_SECONDS = 1.5
"""With torch 2.14: 0.28 s with the bytecode that pip writes, and 0.7 to 1.2 s where Python compiles each file anew."""


def main() -> None:
    check_import(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None)
    with tempfile.TemporaryDirectory() as folder:
        for command in (
            ["--version"],
            ["doctor"],
            ["models"],
            ["layers", "TinyInceptionV1"],
            ["convert", "TinyInceptionV1", "-o", "tiny", "--standalone", "--check"],
            ["demo", "--steps", "2"],
            ["figure", "list"],
            ["render", "tiny", "mixed3a:1", "-o", "a.png", "--size", "32", "--steps", "2"],
            ["rerender", "a.png"],
            ["figure", "fv-channel", "--model", "tiny", "--units", "mixed3a:1", "--steps", "2", "-o", "figure"],
        ):
            subprocess.run(
                [sys.executable, "-m", "lucid_port", *command], cwd=folder, check=True, stdout=subprocess.DEVNULL
            )
    print("smoke test passed")


def check_import(site: Path | None) -> None:
    """Imports the package: from where it should be, soon, and without any extra's package."""
    import torch  # noqa: F401

    # Processor time: what else the machine does is no fault of the package.
    before, started = set(sys.modules), time.process_time()
    import lucid_port
    import lucid_port.modelzoo.vision_models
    import lucid_port.optvis.render

    seconds = time.process_time() - started
    found = Path(lucid_port.__file__).resolve()
    if site is not None and site not in found.parents:
        raise SystemExit(f"lucid_port was imported from {found}, not from {site}")
    loaded = sorted(name for name in (*EXTRAS, *COMPILERS) if name in sys.modules and name not in before)
    if loaded:
        raise SystemExit(f"importing lucid_port imports {', '.join(loaded)}")
    if not (found.parent / "py.typed").is_file():
        raise SystemExit("py.typed is missing")
    if site is not None and seconds > MOST_SECONDS:
        raise SystemExit(f"importing lucid_port takes {seconds:.2f} s beyond torch, more than {MOST_SECONDS}")
    print(f"imported in {seconds:.2f} s beyond torch")


if __name__ == "__main__":
    main()
