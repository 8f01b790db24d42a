# shellcheck shell=bash disable=SC2034,SC2154 # attacks.sh and lib.sh set and use them
# Variables and a greeting that reach the session. Sourced by attacks.sh.

environment_with() {
    hold "$@" || return 1
    said=$(held_environment | cut -d= -f1 | sort | tr '\n' ' ')
    local bad=0
    held_environment | grep -q 'EVIL\|evil' && bad=1
    held_environment | grep -qx 'SSH_ORIGINAL_COMMAND=kubemaster-m' || bad=1
    [ "$bad" = 0 ] || said=$(held_environment | grep 'EVIL\|evil\|ORIGINAL' | tr '\n' ' ')
    release
    [ "$bad" = 0 ] && said="arrives: $said"
}
set_env() {
    environment_with -o 'SetEnv=LD_PRELOAD=/tmp/evil.so LC_ALL=evil BASH_ENV=/tmp/evil SSH_ORIGINAL_COMMAND=evil LD_LIBRARY_PATH=/tmp/evil RUST_BACKTRACE=evil LANG=evil'
}
send_env() {
    local sender=(env LD_PRELOAD=/tmp/evil LC_ALL=evil BASH_ENV=/tmp/evil SSH_ORIGINAL_COMMAND=evil)
    environment_with -o 'SendEnv=LD_PRELOAD LC_* BASH_ENV SSH_ORIGINAL_COMMAND'
}

row "SetEnv" "SetEnv LD_PRELOAD, LC_ALL, BASH_ENV, SSH_ORIGINAL_COMMAND ..." set_env
row "SendEnv" "SendEnv of the same" send_env
