# Stands in for machines when a test runs the blocks of docs/operations.md: a folder for each home, and
# functions for programs that need root or a service manager. The test sets $ROOT, $WEIR and $HTTP.
set -euo pipefail
declare -A at=([desk]="$HOME/weir" [logs]="$ROOT/logs" [shop1]="$ROOT/shop1" [shop2]="$ROOT/shop2")
declare -A pids=()
logged=0
trap 'kill "${pids[@]}" 2>/dev/null; wait' EXIT
mkdir -p "${at[@]}" "$ROOT"/{etc/systemd/system,etc/rsyslog.d,usr/local/bin,var/lib,spool} "$HOME/weir/target"
ln -s "$REPOSITORY/deploy" "$HOME/weir/deploy"
cat >"$ROOT/rsyslog.conf" <<END
global(workDirectory="$ROOT/spool")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="$ROOT/log")
include(file="$ROOT/etc/rsyslog.d/*.conf")
END

# Run before and after a block. `on logs` waits until the server has decoded all lines logged so far.
on() {
    here=$1
    cd "${at[$here]}"
    if [[ $here == logs ]] && ((logged)); then await came "$logged"; fi
    printf '@@ %s\n' "$here"
}
left() { at[$here]=$PWD; }
await() {
    for _ in {1..600}; do
        if "$@"; then return; fi
        sleep 0.1
    done
    echo "timed out: $*" >&2
    exit 1
}
came() {
    local judged
    judged=$(command curl -s --cacert "$WEIR_CA" -H "Authorization: Bearer $(cat "$ROOT/var/lib/weir/token")" \
        "https://localhost:$HTTP/metrics" | awk '/^weir_source_decoded_total/ && !/source="probe"/ {sum += $2} END {print sum + 0}')
    ((judged >= $1))
}

apt-get() { :; }
useradd() { :; }
cargo() { :; }
strip() { ln -s "$WEIR" "$2"; }
rsyslogd() { command rsyslogd -f "$ROOT/rsyslog.conf" "$@"; }
ssh() { "${@:3}"; }
scp() {
    local to="${*: -1}"
    case $to in
        root@localhost:) to=$ROOT/logs ;;
        root@*.example.com:) to=${to#root@} to=$ROOT/${to%%.*} ;;
        *) echo "no machine: $to" >&2 && return 1 ;;
    esac
    cp -d "${@:1:$#-1}" "$to"
}
install() {
    local args=()
    while (($#)); do
        case $1 in
            -g | -o) shift 2 ;;
            *) args+=("$1") && shift ;;
        esac
    done
    command install "${args[@]}"
}
logger() {
    if [[ $1 == --server ]]; then
        command logger "$@"
        await grep -q handshake_failed "$ROOT/weir.log"
        return
    fi
    command logger --socket "$ROOT/log" "$@"
    logged=$((logged + 1))
}
journalctl() {
    local lines=1000
    while (($#)); do
        [[ $1 != --lines ]] || lines=$2
        shift
    done
    tail -n "$lines" "$ROOT/weir.log"
}
systemctl() {
    case $* in
        daemon-reload | *status*) ;;
        "enable --now weir")
            local unit="$ROOT/etc/systemd/system/weir.service" words
            read -ra words < <(sed -n "s#^ExecStart=##p" "$unit" | sed "s# /# $ROOT/#g")
            "$ROOT${words[0]}" "${words[@]:1}" >"$ROOT/weir.log" 2>&1 &
            pids[weir]=$!
            await grep -q '"message":"listening"' "$ROOT/weir.log"
            ;;
        "restart rsyslog")
            if [[ -v pids[rsyslog] ]]; then
                kill "${pids[rsyslog]}"
                wait "${pids[rsyslog]}" || true
            fi
            command rsyslogd -n -f "$ROOT/rsyslog.conf" -i "$ROOT/rsyslog.pid" &
            pids[rsyslog]=$!
            await test -S "$ROOT/log"
            ;;
        *) echo "not simulated: systemctl $*" >&2 && return 1 ;;
    esac
}
