#!/usr/bin/env bash
# Runs distrain on the nodes of a Slurm job: a Ray is started on them for this job, and ended with it.
#
#   sbatch --nodes=4 --gpus-per-node=4 cluster/slurm.sh train run.yaml storage=/shared/runs
#
# Whole nodes, because `ray symmetric-run` ends every Ray of this user on a node when it is done.
# `distrain` has to be in PATH on every node, and storage, data and home folder at the same path.
#SBATCH --job-name=distrain
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=04:00:00
set -euo pipefail

if (($# == 0)); then
    echo "slurm.sh: no command. For example: sbatch cluster/slurm.sh train run.yaml" >&2
    exit 2
fi

# Who has no token is refused, by the Ray of another job too. The home folder has it on every node.
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH="${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}"
if [[ ! -s "$RAY_AUTH_TOKEN_PATH" ]]; then
    (
        umask 077
        mkdir -p "$(dirname "$RAY_AUTH_TOKEN_PATH")"
        od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$RAY_AUTH_TOKEN_PATH"
    )
fi
if [[ -n "$(find -L "$RAY_AUTH_TOKEN_PATH" -perm /077)" ]]; then
    echo "slurm.sh: others can read the token. Run: chmod 600 $RAY_AUTH_TOKEN_PATH" >&2
    exit 2
fi

# The head is the job's first node, by the address that the others reach it at; where it has several
# networks, HEAD_ADDRESS names the private one.
mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
if [[ -z "${HEAD_ADDRESS:-}" ]]; then
    read -r HEAD_ADDRESS _ < <(srun --nodes=1 --ntasks=1 --nodelist="${hosts[0]}" hostname -I)
fi
address="$HEAD_ADDRESS:$((20000 + SLURM_JOB_ID % 12000))"

# Folders of this job's own, removed at its end: another user's /tmp/ray cannot be written.
export RAY_TMPDIR="/tmp/distrain-$SLURM_JOB_ID"
on_every_node=(srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1)
trap '"${on_every_node[@]}" rm -rf "$RAY_TMPDIR"' EXIT
"${on_every_node[@]}" mkdir -p -m 700 "$RAY_TMPDIR"

export RAY_USAGE_STATS_ENABLED=0
# Nodes may come up minutes apart, as their first imports read a shared file system.
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT="${RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT:-300}"
"${on_every_node[@]}" ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "$SLURM_CPUS_ON_NODE" --dashboard-host 127.0.0.1 \
    -- distrain "$@" --address "$address"
