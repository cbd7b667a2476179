#!/bin/sh
# Asks a running server what a client would ask: is it ready, which version does it serve, does it
# predict and refuse what it should. Needs curl and jq.
#
#   TOKEN=... sh deploy/smoke-test.sh https://stagewright.example.org
#
# The token needs the role `predict`. CURL_OPTIONS may add `--cacert FILE`.
set -eu

url="${1:?usage: TOKEN=... sh $0 URL}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# In a file: arguments are readable for other users of the machine.
(umask 077 && printf 'header = "Authorization: Bearer %s"\n' "${TOKEN:-none}" > "$work/token")

# Asks for a path, with the method and body that follow. Prints the code; the answer is in a file.
ask() {
    path="$1"
    shift
    # shellcheck disable=SC2086 # several options
    curl --silent --show-error --max-time 20 ${CURL_OPTIONS:-} --config "$work/token" \
        --output "$work/answer" --write-out '%{http_code}' "$@" "$url$path"
}

# Ends unless the last answer fulfils a condition of jq.
holds() {
    jq --exit-status "$1" "$work/answer" > "$work/holds" && return
    echo "failed: $2" >&2
    head -c 2000 "$work/answer" >&2
    exit 1
}

expect() {
    [ "$1" = "$2" ] && return
    echo "failed: $3: $1, not $2" >&2
    head -c 2000 "$work/answer" >&2
    exit 1
}

expect "$(ask /health/ready)" 200 "the server is not ready"
expect "$(ask /)" 200 "the server does not say what it serves"
holds '.model and .version and .digest' "the server does not say what it serves"
version="$(jq --raw-output '"\(.model) version \(.version)"' "$work/answer")"

# The server's own example is a request that works.
expect "$(ask /openapi.json)" 200 "the server does not describe itself"
jq '[.paths["/predict"].post.requestBody.content["application/json"] | .example, (.examples // {} | .[].value)]
    | map(select(. != null)) | first' "$work/answer" > "$work/example"
jq --exit-status . "$work/example" > "$work/holds" || { echo "failed: no example of a request" >&2; exit 1; }
expect "$(ask /predict --header 'Content-Type: application/json' --data "@$work/example")" 200 "no prediction"
holds '(.predictions | length) > 0 and .request_id' "an answer without a prediction"
holds '.predictions[0] | has("label") or has("value")' "a prediction without label and value"
expect "$(ask /predict --header 'Content-Type: application/json' --data '{"no-such-field": 1}')" 422 "a wrong row is not refused"
echo "ok: $url serves $version"
