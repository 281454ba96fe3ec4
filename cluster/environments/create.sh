#!/usr/bin/env bash
# Build the environment for a GPU generation, beside this script; name the folder in site.env.
#
#   cluster/environments/create.sh kepler-pascal   # K80 (sm_37) to A100 (sm_80): torch 2.0.1
#   cluster/environments/create.sh current         # T4 (sm_75) and newer: torch 2.15.0
#
# Both have the same Python (3.11; PYTHON=… names another python3.11) and the same Ray, as hosts of
# one Ray cluster must. Packages come from where pip or uv of your site are told to look.
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

if command -v uv >/dev/null; then
  uv venv --python "$python" "$folder"
  install=(uv pip install --python "$folder/bin/python")
else
  "$python" -m venv "$folder"
  install=("$folder/bin/python" -m pip install)
fi
"${install[@]}" --requirement "$here/$name.txt"
"${install[@]}" --no-deps --editable "$here/../.."
"$folder/bin/python" - <<'PYTHON'
import ray, torch, torchvision

print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, ray {ray.__version__}")
PYTHON
echo "built $folder"
