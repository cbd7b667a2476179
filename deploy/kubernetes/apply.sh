#!/bin/sh
# Applies an overlay with the image that $IMAGE names by digest, waits until every pod serves, and
# goes back to the former pods if they do not.
#
#   IMAGE=ghcr.io/NAME/stagewright@sha256:... sh deploy/kubernetes/apply.sh staging
#
# The cluster is that of kubectl, or of the file whose text is in $KUBECONFIG_TEXT. With DRY_RUN=1,
# what would be applied is printed and nothing else happens.
set -eu

overlay="${1:-}"
folder="$(cd "$(dirname "$0")" && pwd)"
case "$overlay" in
    staging) namespace=stagewright-staging ;;
    production) namespace=stagewright ;;
    *) echo "usage: IMAGE=NAME@sha256:DIGEST sh $0 staging|production" >&2; exit 2 ;;
esac
case "${IMAGE:-}" in
    *@sha256:*) ;;
    *) echo "IMAGE names no image by digest: NAME@sha256:DIGEST" >&2; exit 2 ;;
esac

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
if [ -n "${KUBECONFIG_TEXT:-}" ]; then
    (umask 077 && printf '%s\n' "$KUBECONFIG_TEXT" > "$work/kubeconfig")
    export KUBECONFIG="$work/kubeconfig"
fi

# An overlay over the overlay sets the image, so that no file of the repository changes.
cp -R "$folder/base" "$folder/overlays" "$work/"
mkdir "$work/overlays/now"
cat > "$work/overlays/now/kustomization.yaml" <<END
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../$overlay]
patches:
  - target: { kind: Deployment, name: stagewright }
    patch: |
      - op: replace
        path: /spec/template/spec/containers/0/image
        value: $IMAGE
END

if [ -n "${DRY_RUN:-}" ]; then
    kubectl kustomize "$work/overlays/now"
    exit
fi
kubectl apply --kustomize "$work/overlays/now"
if ! kubectl rollout status deployment/stagewright --namespace "$namespace" --timeout=10m; then
    kubectl get pods --namespace "$namespace" >&2
    echo "the new pods do not serve; going back" >&2
    kubectl rollout undo deployment/stagewright --namespace "$namespace"
    exit 1
fi
