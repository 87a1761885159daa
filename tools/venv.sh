#!/bin/sh
# tools/venv.sh VENV LOCK: make VENV hold exactly what LOCK pins, and this checkout on top (editable).
#
# Needs only a Python 3.11 or newer; PYTHON names the one to use. Finished work leaves a stamp in VENV
# keyed on what went in (the lock's content, not its date), so a second call costs a moment.
set -eu

cd "$(dirname "$0")/.."
venv=$1
lock=$2

# Prints "ok VERSION", or why this interpreter will not do. Run, not guessed from its name: a name on
# the PATH may be a shim with nothing behind it.
probe='
import sys
version = "%d.%d.%d" % sys.version_info[:3]
if sys.version_info < (3, 11):
    sys.exit(print("is Python " + version))
for module in ("ensurepip", "ssl", "venv"):
    try:
        __import__(module)
    except ImportError:
        hint = " (Debian, Ubuntu: apt-get install python%d.%d-venv)" % sys.version_info[:2]
        sys.exit(print("is Python " + version + " without the module " + module + hint))
print("ok " + version)
'

verdict_of() {
    command -v "$1" >/dev/null 2>&1 || { echo "is not there"; return; }
    "$1" -c "$probe" 2>/dev/null || echo "does not run"
}

python=
tried=
consider() {
    [ -z "$python" ] || return 0
    verdict=$(verdict_of "$1")
    case $verdict in
        ok*) python=$1 ;;
        *) tried="$tried
  $1 $verdict" ;;
    esac
}

if [ -n "${PYTHON:-}" ]; then
    consider "$PYTHON"
elif "$venv/bin/python" -c "import pip" 2>/dev/null; then
    consider "$venv/bin/python"
else
    for name in python3.13 python3.12 python3.11 python3; do
        consider "$name"
    done
fi
if [ -z "$python" ]; then
    echo "Spectra needs Python 3.11 or newer, with venv. Tried:$tried" >&2
    echo "Install one, or name it: make PYTHON=/path/to/python3.11 ..." >&2
    exit 1
fi

stamp=$venv/.spectra-$(basename "$lock" .txt)
key=$("$python" - "$lock" pyproject.toml <<'EOF'
import hashlib, os, sys
digest = hashlib.sha256(f"{sys.version} {os.getcwd()}".encode())
for name in sys.argv[1:]:
    with open(name, "rb") as file:
        digest.update(file.read())
print(digest.hexdigest())
EOF
)
wanted=$("$python" -c "import sys; print(sys.version)")
present=$("$venv/bin/python" -c "import pip, sys; print(sys.version)" 2>/dev/null || true)
if [ "$wanted" = "$present" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$key" ]; then
    exit 0
fi
if [ "$wanted" != "$present" ]; then
    echo "Creating $venv with ${verdict#ok } ($python)" >&2
    "$python" -m venv --clear "$venv"
fi
echo "Installing $lock into $venv; the first time takes a minute or two" >&2
rm -f "$stamp"
tools/install.sh "$venv" "$lock"
"$venv/bin/python" -m pip install -qq --no-input --disable-pip-version-check \
    --no-deps --no-build-isolation --check-build-dependencies -e .
echo "$key" >"$stamp"
