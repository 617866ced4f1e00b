/**
 * What the help of each command says besides its summary and its options. Loaded when help is asked for.
 */

/** In the help of each of the three. */
const WHICH =
  'elect, lock or once? `elect`: a service that one of several replicas runs, for as long as it lives. `lock`: a command that every caller runs, one at a time. `once`: a command that is to succeed once for all, however many start it.';

interface CommandText {
  /** Paragraphs after the summary. */
  readonly description?: readonly string[];
  /** Shown as they are, each a line of shell with a comment above it. */
  readonly examples?: readonly (readonly [comment: string, line: string])[];
}

export const COMMAND_TEXTS: Readonly<Record<string, CommandText>> = {
  publish: {
    description: [
      'Claims the lease named after the hostname, taking it over from a process before this one, renews it at the interval, and leaves it on SIGTERM as --shutdown-policy says. Runs beside an API server, usually as a sidecar.',
      'Needs get, create, update and delete on leases in the namespace; and list and watch, to notice at once when somebody deletes the lease or publishes the same hostname. With create on events.k8s.io/events it reports claims and take-overs as Events; without it, everything else works.',
      'With --http-address it also serves what `serve` does, and how its own lease fares: /readyz, /metrics.',
    ],
    examples: [
      [
        'beside a kube-apiserver, as long as it answers',
        'leasekeeper publish --kubeconfig /etc/kubernetes/leasekeeper.conf --server-health-url https://127.0.0.1:6443/livez',
      ],
      [
        'with labels and a payload of its own, deleted with its pod',
        `leasekeeper publish --label zone=a --annotation 'leasekeeper.dev/payload={"port":8080}' --owner v1/Pod/web-0/$POD_UID`,
      ],
      [
        "another product's servers",
        'leasekeeper publish --identity-label k8s-app --identity-label-value my-proxy --lease-name-prefix my-proxy --lease-duration 30s',
      ],
    ],
  },
  sweep: {
    description: [
      "A pass lists the leases, waits --confirm-after, lists them again, and deletes what was expired both times and not written in between: by the API server's clock, and only in the version that was seen. It deletes nothing when no unexpired lease would be left, unless --allow-all.",
      'With --owner-gone it also deletes heartbeats whose Node does not exist, and no other: judged by the Nodes, never by the clock.',
      'Needs list and delete on leases in the namespace; --owner-gone the same in kube-node-lease, and list and watch on nodes. Any number of sweepers may run at once. With --http-address it serves /metrics, /livez and /readyz.',
    ],
    examples: [
      ['what would go, and why', 'leasekeeper sweep --once --dry-run'],
      ['as a cron job', 'leasekeeper sweep --once'],
      [
        "another product's leases, every minute",
        "leasekeeper sweep --selector k8s-app=my-proxy --schedule '* * * * *'",
      ],
    ],
  },
  get: {
    description: [
      "States: Live (renewed within --fresh-for), Stale (neither live nor expired: its server probably died), Expired (renewTime plus duration is past), Released (no holder). Judged by the API server's clock, not by this machine's; with --observe by what changes between two looks. A lease whose renewTime is in the future is not live, and is warned of.",
      'With names those leases, whatever their labels. The table has at most 100 columns: -o wide shows names and holders whole.',
    ],
    examples: [
      ['what changes, as it changes', 'leasekeeper get --watch'],
      ['who lives, whatever the clocks say', 'leasekeeper get --observe'],
    ],
  },
  count: {
    description: [
      'Prints one number: the hostnames with an unexpired lease. Leases of one hostname are one instance. Exits with 1 when the API cannot be asked: what is not known is never printed as a number.',
    ],
    examples: [
      ['are three servers alive? exit code 0 or 3', 'leasekeeper count --live --expect 3'],
      ['the same, whatever the clocks say', 'leasekeeper count --live --expect 3 --observe'],
    ],
  },
  release: {
    description: [
      'Observes the leases of HOSTNAME for --observe, then deletes them in the version that was seen. Exits with 1, and deletes nothing, while somebody renews one of them, unless --force; and when there is none.',
      'For a planned removal: stop the server and its sidecar, then release the host. Needs list and delete on leases in the namespace.',
    ],
    examples: [['after the server was removed', 'leasekeeper release master-3']],
  },
  serve: {
    description: [
      'A page that updates itself (/), the instances and their number as JSON (/v1/instances, /v1/count), metrics for Prometheus (/metrics), /livez and /readyz. One list and one watch, no polling; every answer comes from memory. What is not known is 503 with the last known answer and its age, never a number.',
      'Live means seen to change within --fresh-for by the monotonic clock of this machine. Needs list and watch on leases in the namespace.',
    ],
    examples: [
      ['on this machine', 'leasekeeper serve'],
      ['for Prometheus and probes', 'leasekeeper serve --http-address :10270'],
    ],
  },
  leases: {
    description: [
      'Kinds are those that leasekeeper writes on its own leases (election, lock, once, cron, semaphore, member, shard), and those that a lease proves: identity by its labels, heartbeat by the namespace kube-node-lease, election by transitions or an acquireTime. Everything else is unknown.',
      "STATE says whether anybody holds it: Live and Stale are held, Expired and Released are nobody's. Shards are not renewed, so theirs is Unknown while they have a holder: `leasekeeper shards RING` looks at their members too. It is judged by the renewal times that holders publish, so a holder with a wrong clock is misjudged; --observe looks twice and judges by change, --watch goes on looking.",
      'Needs list on leases, of every namespace with -A; --watch also watch.',
    ],
    examples: [
      ['who leads what', 'leasekeeper leases -A --kind election'],
      ['what nobody leads, whatever the clocks say', 'leasekeeper leases -A --leaderless --observe 20s'],
    ],
  },
  'step-down': {
    description: [
      'Writes a request on the lease that names its holder and its term. The holder asks its work to end, and releases the lease once it has; the next holder is not asked again. With --to the others let that one go first, for one retry period.',
      'Exits with 0 once the lease is released, or, with --to, once that one holds it; with 1 when that has not happened within --wait. A holder that is not of leasekeeper 0.2 or later ignores requests: it is named, and nothing is written.',
      'Needs get, update and watch on leases in the namespace.',
    ],
    examples: [
      ['before a node is drained', 'leasekeeper step-down default/my-operator'],
      ['to one pod', 'leasekeeper step-down default/my-operator --to my-operator-7d4b9-x2x7p'],
    ],
  },
  elect: {
    description: [
      'Contends for the lease as client-go does, with which it interoperates. The leader starts the command, and ends it (SIGTERM, then SIGKILL, to its whole process group) before anybody else can lead: when renewing fails, and also when leasekeeper itself is killed or stopped, by a watchdog process of its own. A command that leaves its process group (setsid, a daemon) cannot be followed. A lease that somebody deletes, empties or takes ends the command at once, by SIGKILL: others may lead already.',
      'Where leasekeeper and its watchdog are killed in one go, the kernel kills the command, on Linux with setpriv of util-linux; what the command has started runs on then, as does a command that raises its privileges as it starts. Elsewhere nothing ends the command.',
      'As process 1 of a container it reaps only the command itself: what that leaves behind stays as zombies. Run it under an init there: `docker run --init`, tini in the image, or shareProcessNamespace in the pod.',
      'Without a command it is a sidecar, as the old leader-elector was: with --http-address /leader is 200 on the leader and 503 on the others, for a probe or for the program beside it, and / is JSON that names the leader. 200 is the truth of that moment: what the program does must end within remainingSeconds, and on a step-down or a SIGTERM the next one may lead at once.',
      'A short command under elect runs on every candidate, one after another: each contends until its own has run.',
      WHICH,
      "The command finds LEASEKEEPER_LEASE, LEASEKEEPER_HOLDER and LEASEKEEPER_FENCING_TOKEN in its environment. SIGTERM and SIGINT go to the command first; the lease is released when it has ended, or is killed after --stop-timeout. A second one ends everything at once. SIGHUP, SIGUSR1 and SIGUSR2 are passed on. The exit code is the last command's, 128 + n when signal n ended it.",
      'Needs get, create, update and watch on leases in the namespace (a Role with resourceNames may name the lease for all but create), and create on events: without it only the Events are missing.',
    ],
    examples: [
      ['one of several replicas works', 'leasekeeper elect --lease default/my-job -- ./my-job --serve'],
      ['beside a program that asks who leads', 'leasekeeper elect --lease my-job --http-address 4040'],
      ['sweep from one of several pods', 'leasekeeper elect --lease kube-system/sweeper -- leasekeeper sweep'],
    ],
  },
  lock: {
    description: [
      "Waits until nobody else holds the lock, runs the command once, and gives the lock back. The exit code is the command's; 75 when it did not get the lock in time; 1 when requests failed and nobody was seen to hold it. With --no-wait a holder whose published times say that it died is watched for its lease duration first: it may live, with a wrong clock. The command is ended before anybody else can have the lock, as with `elect`.",
      WHICH,
      'The command finds LEASEKEEPER_LEASE, LEASEKEEPER_HOLDER and LEASEKEEPER_FENCING_TOKEN in its environment.',
      'Needs get, create, update and watch on leases in the namespace.',
    ],
    examples: [
      ['one backup at a time, in the whole cluster', 'leasekeeper lock --lease default/backup -- ./backup.sh'],
      ['not now, if somebody else does', 'leasekeeper lock --lease default/backup --no-wait -- ./backup.sh'],
    ],
  },
  once: {
    description: [
      'Exits with 0 when the key has succeeded, by anybody; else with the exit code of the command. The keys that succeeded stay recorded on the lease, so a pod that starts again later runs nothing. When the command fails or its process dies, the next replica tries.',
      'A command that exits with 0 after SIGTERM, which is passed on, has not succeeded: many programs do so wherever they are. Then the exit code is 143, and the next replica runs it again.',
      WHICH,
      'The command finds LEASEKEEPER_LEASE, LEASEKEEPER_HOLDER and LEASEKEEPER_FENCING_TOKEN in its environment.',
      'Needs get, create, update and watch on leases in the namespace.',
    ],
    examples: [
      ['a migration at the start of every replica', 'leasekeeper once --lease default/schema --key v42 -- ./migrate'],
    ],
  },
  shard: {
    description: [
      'Every process of a ring runs the commands of its share of the slots: shares differ by at most one. When a process joins or leaves, as few slots move as can be; a slot is drained first (SIGTERM), then the next process begins. SIGHUP, SIGUSR1 and SIGUSR2 are passed on to all commands. The command finds LEASEKEEPER_SLOT, LEASEKEEPER_LEASE, LEASEKEEPER_HOLDER and LEASEKEEPER_FENCING_TOKEN in its environment.',
      'The first time, slots begin one lease duration after the start: a lease that is not there may have been deleted while it was held.',
      'With --http-address it serves /metrics, /livez and /readyz.',
      'Needs get, list, watch, create, update and delete on leases in the namespace, and create on events: without it only the Events are missing.',
    ],
    examples: [
      ['eight queues over any number of pods', 'leasekeeper shard --ring default/queues --slots 8 -- ./worker'],
    ],
  },
  members: {
    description: [
      'A ring is what `leasekeeper shard` and the members and shards of the library share. Needs list on leases in the namespace.',
    ],
    examples: [['who shares the queues', 'leasekeeper members default/queues']],
  },
  shards: {
    description: [
      'The keys of `leasekeeper shard` are the numbers of its slots. Needs list on leases in the namespace.',
    ],
    examples: [['who works on which queue', 'leasekeeper shards default/queues']],
  },
  heartbeat: {
    description: [
      'Writes and renews a Lease for each Node, named as it and owned by it. Renewals lie evenly over the interval; a Node that is deleted is not renewed any more, one that is recreated gets its new uid. At the end the leases stay, and expire by themselves.',
      'With --share RING several processes keep the Nodes in common: a ring, as of `leasekeeper shard`. What one of them kept that dies is renewed by the others before a Node turns Unknown: 15 s until it is missed, and one renew interval. `leasekeeper members RING` shows who takes part.',
      'With --http-address it serves /metrics, /livez and /readyz. Of its --config file it takes --renew-interval, --lease-duration, --concurrency, --request-timeout and --log-level while it runs; which Nodes, and where their leases lie, needs a restart.',
      'Needs get, create and update on leases in the namespace, and list and watch on nodes; --share what a member of a ring needs, in its namespace.',
    ],
    examples: [
      [
        'several processes keep a fleet in common',
        'leasekeeper heartbeat --nodes-selector type=virtual-kubelet --share default/fleet',
      ],
      ['a virtual node', 'leasekeeper heartbeat --node virtual-1'],
      ['a fleet of them', 'leasekeeper heartbeat --nodes-selector type=virtual-kubelet'],
    ],
  },
  nodes: {
    description: [
      'Judged as the node lifecycle controller does: by the Ready condition, and by when the lease was last seen to be renewed or the kubelet to post, never by comparing clocks. So it has to watch before it answers: about one renew interval while all nodes live, the grace period when one does not. A Node that has posted no status is Unknown after --startup-grace, one that was called Unknown until its kubelet posts. With a shorter --wait, what is not decided yet is Pending.',
      'With --http-address it prints nothing, and serves the same as JSON (/v1/nodes), with /metrics, /livez and /readyz, until SIGTERM: from memory, and 503 with the last known answer and its age while it is not known.',
      'Needs list and watch on nodes and on leases in the namespace.',
    ],
    examples: [
      ['what becomes of them', 'leasekeeper nodes --watch'],
      ['at once, without watching first', 'leasekeeper nodes --wait 0s'],
      ['for Prometheus and other programs', 'leasekeeper nodes --http-address :10271'],
    ],
  },
  dev: {
    description: [
      'In memory, on loopback, for trying things out and for tests. It is no Kubernetes: Leases, Nodes, Namespaces and Events only.',
    ],
  },
  completion: {
    description: [
      'For kubectl leasekeeper nothing is needed: kubectl asks the program kubectl_complete-leasekeeper, which is installed beside this one.',
    ],
    examples: [
      ['bash, in ~/.bashrc', 'source <(leasekeeper completion bash)'],
      ['zsh, in ~/.zshrc', 'source <(leasekeeper completion zsh)'],
      ['fish', 'leasekeeper completion fish > ~/.config/fish/completions/leasekeeper.fish'],
    ],
  },
  rbac: {
    description: [
      'As YAML, ready for kubectl apply -f -. What is of a namespace is in a Role there, what is of the cluster in a ClusterRole; every rule says what it is for. Nothing is sent to anybody.',
      'Without a command: those of publish, sweep, serve and heartbeat, with their defaults.',
    ],
    examples: [
      [
        "for a sidecar with a client's certificate",
        'leasekeeper rbac publish --server-health-url https://127.0.0.1:6443/livez --user leasekeeper-publish',
      ],
      ['for a job of your own', 'leasekeeper rbac elect --lease default/my-job --service-account default/my-job'],
    ],
  },
  config: {
    description: [
      'Takes the flags of publish, reads the file and the environment as every command does, and checks all of it: all problems are reported at once, with exit code 2.',
      'Weakest first: defaults, the file that --config names, the environment (LEASEKEEPER_RENEW_INTERVAL for renewInterval), flags. Feature gates are merged one by one. The file holds apiVersion: leasekeeper.dev/v1alpha1, kind: LeasekeeperConfiguration and the keys printed here; one file serves all commands.',
    ],
    examples: [
      ['check a file', 'leasekeeper config --config leasekeeper.yaml'],
      ['make one of the flags in use', 'leasekeeper config --renew-interval 5s -o yaml > leasekeeper.yaml'],
    ],
  },
};
