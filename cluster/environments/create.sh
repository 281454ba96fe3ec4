#!/usr/bin/env bash
# Build the environment for some GPU generations, beside this script; name the folder in site.env.
#
#   create.sh kepler-pascal   # K80 (sm_37) to A100 (sm_80): torch 2.0.1
#   create.sh pascal-hopper   # P100 (sm_60) to H100 (sm_90), like for like: torch 2.14 for CUDA 12.6
#   create.sh current         # T4 (sm_75) and newer: torch 2.15
#
# All have the same Python (3.11; PYTHON=… names another python3.11) and the same Ray, as nodes of
# one Ray cluster must. Packages come from where pip or uv of your site are told to look.
#
# pascal-hopper needs PyTorch's own index of builds for CUDA 12.6, to which uv's --torch-backend
# leads. With pip, set PIP_EXTRA_INDEX_URL to that index, as pytorch.org shows it for CUDA 12.6.
# This environment was not built here: that index could not be reached.
#
# raybench itself is the checkout that this script lies in, or else RAYBENCH_PACKAGE (a wheel, a
# folder, a name with its version), or else the version that wrote this script.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=${1:-}
if [ ! -r "$here/$name.txt" ] || [ -z "$name" ]; then
  echo "usage: create.sh NAME [FOLDER]; NAME is one of:" >&2
  for file in "$here"/*.txt; do echo "  $(basename "$file" .txt)" >&2; done
  exit 2
fi
folder=${2:-$here/$name}
python=${PYTHON:-python3.11}
backend=$(sed -n 's/^# torch-backend: //p' "$here/$name.txt")

if [ -n "${RAYBENCH_PACKAGE:-}" ]; then
  raybench=("$RAYBENCH_PACKAGE")
elif [ -r "$here/../../pyproject.toml" ] && [ -d "$here/../../raybench" ]; then
  raybench=(--editable "$here/../..")
else
  raybench=("$(cat "$here/raybench")")
fi

if command -v uv >/dev/null; then
  uv venv --python "$python" "$folder"
  install=(uv pip install --python "$folder/bin/python")
  requirements=("${install[@]}" ${backend:+--torch-backend="$backend"})
else
  "$python" -m venv "$folder"
  install=("$folder/bin/python" -m pip install)
  requirements=("${install[@]}")
fi
"${requirements[@]}" --requirement "$here/$name.txt"
"${install[@]}" --no-deps "${raybench[@]}"
"$folder/bin/python" - "$backend" <<'PYTHON'
import sys

import ray, torch, torchvision

print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, ray {ray.__version__}")
built, wanted = "cu" + (torch.version.cuda or "").replace(".", ""), sys.argv[1]
if wanted and built != wanted:
    sys.exit(f"this torch is built for {built}, not for {wanted}: see PIP_EXTRA_INDEX_URL above")
PYTHON
echo "built $folder"
