#!/bin/sh
# Makes the secrets of deploy/compose.yaml, in deploy/secrets and deploy/.env. git ignores both.
# It never replaces a secret: remove the file for a new one.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets

secret() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# A container reads its secret as its own user, so the files are readable for others; the folder is
# not. docker mounts the files themselves.
keep() {
    [ -e "secrets/$1" ] || { cat > "secrets/$1.new" && chmod 644 "secrets/$1.new" && mv "secrets/$1.new" "secrets/$1"; }
}

secret | keep predict-token
secret | keep metrics-token
secret | keep admin-token
secret | keep grafana-password
# The server keeps hashes: whoever reads its file cannot use them.
for role in predict metrics admin; do
    printf 'sha256:%s %s\n' "$(sha256sum < "secrets/$role-token" | cut -d ' ' -f 1)" "$role"
done | keep tokens

# compose reads .env beside compose.yaml.
if [ ! -e .env ]; then
    printf 'POSTGRES_PASSWORD=%s\nS3_ACCESS_KEY=stagewright\nS3_SECRET_KEY=%s\n' "$(secret)" "$(secret)" > .env.new
    mv .env.new .env
fi
echo "made deploy/secrets and deploy/.env; the token for predictions is in deploy/secrets/predict-token"
