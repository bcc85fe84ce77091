#!/bin/sh
# Starts a RayJob with the name of this CronJob's Job, unless a pod before this one did, and waits for its end: only
# so has the CronJob something to forbid. The date is fixed here, so a retry after midnight has the same output.
set -eu

if ! kubectl get rayjob "$JOB_NAME" >/dev/null 2>&1; then
    manifests=$(dirname "$0")
    work=$(mktemp -d)
    cp -RL "$manifests/cluster" "$manifests/generate" "$work"
    sed -e "s/^  name: generate\$/  name: $JOB_NAME/" -e "s/\$(date +%F)/$(date -u +%F)/" \
        "$manifests/generate/rayjob.yaml" >"$work/generate/rayjob.yaml"
    kubectl create -k "$work/generate"
fi

while true; do
    case $(kubectl get rayjob "$JOB_NAME" -o 'jsonpath={.status.jobDeploymentStatus}') in
    Complete) exec kubectl delete --wait=false rayjob "$JOB_NAME" ;; # its output is in the bucket, its cluster need not wait
    *Failed)
        kubectl get rayjob "$JOB_NAME" -o 'jsonpath={.status.reason}: {.status.message}'
        exit 1
        ;;
    esac
    sleep 30
done
