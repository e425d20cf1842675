# shellcheck shell=sh
# What Superset is told: its own data (SQLite) and its secret stand in `home` beside this file. Sourced by the commands of the README.
export FLASK_APP="superset.app:create_app()" SUPERSET_HOME="$PWD/home" SCARF_ANALYTICS=false
mkdir -p "$SUPERSET_HOME"
[ -s "$SUPERSET_HOME/secret" ] || (umask 077 && openssl rand -base64 42 >"$SUPERSET_HOME/secret")
SUPERSET_SECRET_KEY=$(cat "$SUPERSET_HOME/secret")
export SUPERSET_SECRET_KEY SUPERSET_PASSWORD="${SUPERSET_PASSWORD:-admin}" SUPERSET_PORT="${SUPERSET_PORT:-8090}"
