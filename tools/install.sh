#!/bin/sh
# tools/install.sh VENV LOCK: install into VENV the wheels that LOCK pins, checked by their hashes.
#
# uv does it in a fifth of pip's time. Where neither VENV nor .venv has it, pip fetches it by its pin,
# to a place that is gone afterwards. uv knows nothing of pip's settings, mirrors for one: where it
# fails, pip does the work or says what is wrong.
set -eu

cd "$(dirname "$0")/.."
venv=$1
lock=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Wheels only: building a source archive would pull in build tools that no hash covers.
wheels="--require-hashes --only-binary :all:"

pip_install() {
    "$venv/bin/python" -m pip install -qq --no-input --disable-pip-version-check $wheels "$@"
}

uv_install() {
    for uv in "$venv/bin/uv" .venv/bin/uv "$scratch/uv/bin/uv"; do
        if "$uv" --version >/dev/null 2>&1; then break; fi
        if [ "$uv" = .venv/bin/uv ]; then
            sed -n '/^uv==/,/^    # /p' requirements/dev.txt >"$scratch/uv.txt"
            pip_install --target "$scratch/uv" -r "$scratch/uv.txt" || return 1
        fi
    done
    # Modules are compiled when first imported, but at once where that would be for every process anew.
    "$uv" pip install --quiet --python "$venv/bin/python" $wheels \
        ${PYTHONDONTWRITEBYTECODE:+--compile-bytecode} -r "$lock"
}

uv_install || pip_install -r "$lock"
