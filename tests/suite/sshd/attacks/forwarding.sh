# shellcheck shell=bash disable=SC2034,SC2154 # attacks.sh and lib.sh set and use them
# Everything that SSH can carry besides a session: ports, sockets, agent, X11, tunnels, second sessions. Sourced by attacks.sh.

# forward ARGUMENTS... -- READER...: opens it without a session, then reads through it.
forward() {
    local options=()
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    rm -f /tmp/*.sock
    client -N -o ExitOnForwardFailure=yes "${options[@]}" leader >"$bed/out" 2>"$bed/err" &
    local job=$! data
    # It is up when the reader gets an answer, or the client has given up.
    wait_until 15 forward_settled "$job"
    data=$("$@" 2>"$bed/reader")
    sleep 0.3
    kill "$job" 2>/dev/null
    wait "$job" 2>/dev/null
    said="no byte came through; $(grep -aio 'open failed.*\|remote forward fail.*' \
        "$bed/err" | head -n 1); $(tail -n 1 "$bed/reader")"
    [ -z "$data" ] || { said="CAME THROUGH: $data"; return 1; }
}
forward_settled() {
    ! kill -0 "$1" 2>/dev/null || {
        grep -q 'Entering interactive session' "$bed/err" &&
            { ! grep -q 'Remote connections from' "$bed/err" || grep -q 'remote forward' "$bed/err"; }
    }
}

local_forward() { forward -v -L 9001:127.0.0.1:7001 -- peer_in_net read tcp 127.0.0.1 9001; }
dynamic_forward() { forward -v -D 9001 -- peer_in_net read socks 9001 127.0.0.1 7001; }
remote_forward() { forward -v -R 9003:127.0.0.1:7002 -- peer_here read tcp 127.0.0.1 9003; }
remote_dynamic() { forward -v -R 9003 -- peer_here read socks 9003 127.0.0.1 7002; }
unix_local() {
    forward -v -L /tmp/near.sock:/run/leader.sock -- peer_in_net read unix /tmp/near.sock
}
unix_remote() {
    forward -v -R /tmp/far.sock:/run/client.sock -- peer_here read unix /tmp/far.sock
}
through_stdio() { attempt client -W 127.0.0.1:7001 leader; nothing_came; }
through_jump() {
    printf 'Host inner\n HostName 127.0.0.1\n Port 7001\n ProxyCommand ssh -F %s -W %%h:%%p leader\n' \
        "$bed/ssh_config" >"$bed/jump_config"
    cat "$bed/ssh_config" >>"$bed/jump_config"
    attempt in_net ssh -v -F "$bed/jump_config" inner id
    nothing_came || return 1
    ! grep -q SECRET "$bed/err" || { said="CAME THROUGH: the inner host's greeting"; return 1; }
    attempt in_net ssh -v -F "$bed/ssh_config" -J leader -p 7001 127.0.0.1 id
    nothing_came || return 1
    ! grep -q SECRET "$bed/err" || { said="CAME THROUGH: the inner host's greeting"; return 1; }
}

# hold ARGUMENTS...: a request that waits for its input. Sets $held, the signer's process id.
hold() {
    wait_until 30 no_signer || fatal "a signer is left from the row before"
    ${sender+"${sender[@]}"} client "$@" leader kubemaster-m >"$bed/out" 2>"$bed/err" < <(sleep 30) &
    holder=$!
    # With a display forwarded, xauth takes its time to find that / is not the account's.
    wait_until 90 signers >/dev/null || { said="no signer ran: $(tail -n 1 "$bed/err")"; return 1; }
    held=$(signers | head -n 1)
    wait_until 5 settled_signer
}
settled_signer() { [ "$(readlink "/proc/$held/exe")" = /usr/bin/etcd-signer ]; }
release() { kill "$holder" 2>/dev/null; wait "$holder" 2>/dev/null; wait_until 20 no_signer; }
held_environment() { tr '\0' '\n' <"/proc/$held/environ"; }

agent() {
    local socket answer=''
    eval "$(ssh-agent -s)" >/dev/null
    ssh-add -q "$bed/key"
    hold -v -A || return 1
    said="no SSH_AUTH_SOCK in the session, and no agent socket on the leader"
    for socket in /tmp/ssh-*/agent.*; do
        [ "$socket" = "$SSH_AUTH_SOCK" ] && continue
        [ -S "$socket" ] && answer=$(SSH_AUTH_SOCK=$socket timeout 5 ssh-add -l 2>&1)
    done
    [ -z "$answer" ] || said="the leader reaches the agent: $answer"
    held_environment | grep -q SSH_AUTH_SOCK && { said="SSH_AUTH_SOCK is set; $said"; answer=1; }
    release
    ssh-agent -k >/dev/null 2>&1
    unset SSH_AUTH_SOCK SSH_AGENT_PID
    [ -z "$answer" ]
}

x11_with() {
    command -v xauth >/dev/null || { said="xauth is not installed"; return 3; }
    [ -S /tmp/.X11-unix/X99 ] || fatal "no display to forward"
    DISPLAY=:99 hold -v "$1" || return 1
    local display ports bad=0
    display=$(held_environment | grep DISPLAY)
    ports=$(ss -Hltn 'sport >= 6000 and sport <= 6100')
    release
    said="$(grep -ao 'X11 forwarding request failed[a-z 0-9]*' "$bed/err" | head -n 1); no display"
    [ -z "$display$ports" ] || { said="$display $ports"; bad=1; }
    return "$bad"
}
x11() { x11_with -X; }
x11_trusted() { x11_with -Y; }

tunnel() {
    # Open to everybody, as udev makes it.
    mknod -m 0666 "$bed/tun" c 10 200
    [ -c /dev/net/tun ] || { said="this kernel has no /dev/net/tun"; return 3; }
    mount --bind "$bed/tun" /dev/net/tun
    # The leader's end is there and the account's own: only PermitTunnel stands before it.
    ip tuntap add dev tun5 mode tun user signer || { said="no tun device"; return 3; }
    ip address add 10.98.0.1/30 dev tun5
    ip link set tun5 up
    client -v -N -w 6:5 leader >"$bed/out" 2>"$bed/err" &
    local job=$! data
    wait_until 10 grep -q 'tunnel forwarding\|Tunnel forwarding\|administratively' "$bed/err"
    sleep 1
    in_net ip address add 10.98.0.2/30 dev tun6 2>/dev/null
    in_net ip link set tun6 up 2>/dev/null
    data=$(peer_in_net read tcp 10.98.0.1 7003 2>&1 | grep SECRET)
    kill "$job" 2>/dev/null
    wait "$job" 2>/dev/null
    ip link delete tun5
    said="no byte came through; $(grep -aio 'tunnel [a-z ]*\(fail\|refus\)[a-z ]*\|administratively.*' \
        "$bed/err" | tail -n 1)"
    [ -z "$data" ] || { said="CAME THROUGH: $data"; return 1; }
}

second_session() {
    /usr/bin/python3 -W ignore -c 'import paramiko' 2>/dev/null ||
        { said="python3-paramiko is not installed"; return 3; }
    attempt in_net /usr/bin/python3 "$bed/clients.py" two-sessions 10.99.0.1
    said="$out$err"
    [[ $out == refused:* ]]
}
control_master() {
    hold -M -S "$bed/control" || return 1
    # Over the first connection only: if sshd says no there, ssh must not make a new one.
    attempt in_net ssh -v -F "$bed/ssh_config" -S "$bed/control" \
        -o ProxyCommand=/bin/false leader get-certificate
    release
    nothing_came
    local bad=$?
    said="$(grep -aio 'session open refused[a-z ]*\|open failed[a-z :]*' "$bed/err" | head -n 1); $said"
    return "$bad"
}

row "-L" "read a listener on the leader's 127.0.0.1 through -L" local_forward
row "-D" "the same through a SOCKS proxy" dynamic_forward
row "-W" "the same with ssh -W" through_stdio
row "-J" "the same as the target of -J, and of a ProxyCommand" through_jump
row "-R" "read a listener of the client from the leader" remote_forward
row "-R, dynamic" "the same through a remote SOCKS proxy" remote_dynamic
row "-L, sockets" "read a Unix socket on the leader through -L" unix_local
row "-R, sockets" "read a Unix socket of the client from the leader" unix_remote
row "-A" "ask the client's agent for its keys from the leader" agent
row "-X" "a display, and a listener for it, on the leader" x11
row "-Y" "the same, trusted" x11_trusted
row "-w" "ssh -w, the leader's tun device up; read a listener" tunnel
row "second session" "two sessions at once on one connection, paramiko" second_session
row "ControlMaster" "get-certificate over the connection of a waiting request" control_master
