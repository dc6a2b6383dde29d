# A node whose children leave its session, ignore signals and outlive it.
trap '' TERM
setsid sh -c 'trap "" TERM HUP; while :; do sleep 1000; done' &
setsid sh -c 'trap "" TERM HUP; setsid sleep 1000 & while :; do sleep 1000; done' &
while :; do sleep 1; done
