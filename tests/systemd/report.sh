# What the guest does and reports, as lines "name value". Few and small processes: the machine is emulated.

holder=/sys/fs/cgroup/noded.slice/noded-nodes.service

tell() { echo "$@"; }
only() { cat "$@" 2>/dev/null | tr '\n' ' '; echo; }

# until SECONDS COMMAND...: true as soon as the command is.
until_true() {
    left=$(($1 * 2))
    shift
    while [ "$left" -gt 0 ]; do
        if "$@" >/dev/null 2>&1; then return 0; fi
        left=$((left - 1))
        sleep 0.5
    done
    return 1
}
ready() { [ "$(nodectl status -o json | grep -c '"phase": "ready"')" -ge "$1" ]; }
pids() { for group in "$holder"/*.*/; do cat "$group/cgroup.procs"; done 2>/dev/null | sort -n | tr '\n' ' '; }
state() { systemctl is-active noded-nodes noded-launcher noded-proxy noded | tr '\n' ' '; }
another() { [ "$(systemctl show --value --property=MainPID "$1")" != "$2" ] && [ "$(systemctl is-active "$1")" = active ]; }

until_true 300 systemctl is-active --quiet noded
tell boot "$(state)"
tell uptime "$(cut -d' ' -f1 /proc/uptime)"
tell filesystem "$(stat -f -c %T /sys/fs/cgroup)"
tell failed "$(systemctl --failed --plain --no-legend | tr '\n' ' ')."
tell order "$(for unit in noded-nodes noded-launcher noded-proxy noded; do systemctl show --value --property=ActiveEnterTimestampMonotonic $unit; done | tr '\n' ' ')"

for node in hog ticker; do nodectl apply /srv/nodes/$node > /dev/null 2>&1 || tell apply "$node was refused"; done
until_true 120 ready 2
tell cgroups "$(nodectl status -o json | sed -n 's/.*"cgroups": "\(.*\)".*/\1/p')"
tell degraded "$(nodectl status -o json | grep '"degraded"')"

# Delegation: systemd keeps out of what is below the holder, and the launcher has handed everything down.
tell delegated "$(systemctl show --value --property=Delegate noded-nodes)"
tell top "$(only $holder/cgroup.procs)."
tell handed_down "$(only $holder/cgroup.subtree_control)"
hog=$(basename "$holder"/hog.*)
tell hog "$(for file in memory.max memory.oom.group pids.max cpu.max; do only "$holder/$hog/$file"; done | tr '\n' ' ')"
tell ticker "$(only "$holder"/ticker.*/memory.high)"
tell pressure "$(head -n 1 "$holder/$hog/memory.pressure")"
pid=$(head -n 1 "$holder/$hog/cgroup.procs")
tell status "$(grep -E '^(Seccomp|NoNewPrivs|CapEff|Umask):' "/proc/$pid/status" | tr '\t\n' '  ')"
tell namespaces "$([ "$(readlink /proc/$pid/ns/mnt)" = "$(readlink /proc/1/ns/mnt)" ] && echo same)"
tell oom_score "$(cat /proc/$pid/oom_score_adj)"

# Every end of every service.
before=$(pids)
tell before "$before"
for unit in noded-launcher noded; do
    systemctl restart $unit
    tell "restart-$unit" "$(pids)"
    main=$(systemctl show --value --property=MainPID $unit)
    kill -KILL "$main"
    until_true 120 another $unit "$main"
    tell "kill-$unit" "$(pids)"
    systemctl stop $unit
    tell "stop-$unit" "$(pids)"
    systemctl start $unit
done
systemctl daemon-reload
systemctl daemon-reexec
tell reload "$(pids)"
until_true 120 ready 2
tell after "$(pids)"
tell services "$(state)"

# The sleeper dies; systemd must keep the group all the same.
kill -KILL "$(cat $holder/holder/cgroup.procs)"
sleep 1
tell sleeper "$(pids)"
tell still "$(systemctl is-active noded-nodes)"

# memory.high throttles and counts, in the tree that was delegated.
mkdir "$holder/probe"
echo 16M > "$holder/probe/memory.high"
sh -c "echo 0 > $holder/probe/cgroup.procs; head -c 40000000 /dev/zero | tail -c 40000000 > /dev/null" &
probe=$!
until_true 60 grep -q 'high [1-9]' "$holder/probe/memory.events"
tell high "$(grep '^high' "$holder/probe/memory.events")"

# cgroup.kill, on whatever that has become.
echo 1 > "$holder/probe/cgroup.kill"
wait $probe
tell killed "$? $(only "$holder/probe/cgroup.procs")"
rmdir "$holder/probe"

# Out of memory: the whole instance, told as such, nobody else.
others=$(cat "$holder"/ticker.*/cgroup.procs)
touch /var/lib/noded/data/hog/eat
until_true 180 sh -c '! [ -e "$0" ]' "$holder/$hog"
until_true 120 ready 2
tell oom "$(nodectl explain hog | grep -c 'out of memory')"
tell others "$([ "$(cat "$holder"/ticker.*/cgroup.procs)" = "$others" ] && echo same)"
tell holder "$(systemctl is-active noded-nodes)"

# The end of the holder is the end of all, and it can be started again.
systemctl stop noded-nodes
tell stopped "$(state)"
tell left "$(ps -e -o uid=,pid= | awk '$1 >= 70000 && $1 < 80000' | tr '\n' ' ')."
systemctl start noded
until_true 180 ready 2
tell again "$(state)"
tell end of report
