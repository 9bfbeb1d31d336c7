/** A command line, and a piece of what it prints. Words in braces are of the test's folders and of what happened in them. */
type Use = [line: string, prints: RegExp];

/** One right use of a command, and one wrong one, which exits with 64, or with 2 if it is a broken rule. */
export interface Uses {
  right: Use;
  wrong: Use;
  /** A listing: it is asked for JSON, too. */
  lists?: true;
}

/** A right and a wrong use of every command, in the order in which they are tried. The right use of `run` is the program under test. */
export const USES: Record<string, Uses> = {
  run: { right: ["rules", /hand/], wrong: ["run {nowhere}", /Cannot find .+whenthen init/] },
  health: { right: ["health", /^ready/], wrong: ["health now", /too many arguments for 'health'/], lists: true },
  emit: {
    right: ["emit order.created --id A2 --data {small}", /^Event A2 is accepted\n {2}order/],
    wrong: ["emit", /name the type of an event/],
  },
  start: {
    right: ["start hand bits=4096", /^hand started run /],
    wrong: ["start hand bits", /Cannot start with "bits": write name=value/],
  },
  rules: {
    right: ["rules", /^order +/m],
    wrong: ["rules --jsn", /unknown option '--jsn'\n\(Did you mean --json\?\)/],
    lists: true,
  },
  events: {
    right: ["events --subject A1", /order\.created/],
    wrong: ["events --limit many", /expected a count, got "many"/],
    lists: true,
  },
  runs: {
    right: ["runs --waiting", /pause/],
    wrong: ["runs --state done", /Allowed choices are queued, running/],
    lists: true,
  },
  show: { right: ["show {failed}", /no such customer/], wrong: ["show", /name one, or use --last/], lists: true },
  try: { right: ["try order --event A2", /1 would start and succeed/], wrong: ["try order --last many", /many/] },
  config: {
    right: ["config hand limit=20", /^limit +20/m],
    wrong: ["config hand limit", /write name=value/],
    lists: true,
  },
  commands: {
    right: ["commands", /commands\/sh +Shell +sh +1/],
    wrong: ["commands one two", /too many arguments for 'commands'/],
    lists: true,
  },
  import: {
    right: ["import {oto} -o {made}", /^Made .+: nmap with 1 inputs/],
    wrong: ["import {command} -o {made}", /Cannot read .+sh\.yaml as JSON/],
  },
  export: {
    right: ["export {command}", /"flag": "-c"/],
    wrong: ["export {oto}", /Cannot read .+oto\.json as a command: it has no "command:"/],
  },
  replay: { right: ["replay {failed}", /^Run .+ replays run /], wrong: ["replay", /missing required argument 'run'/] },
  retry: {
    right: ["retry {failed}", /resumes with step "lookup"/],
    wrong: ["retry", /missing required argument 'run'/],
  },
  move: {
    right: ["move {first}", /continues with its rule as it is now/],
    wrong: ["move --run x", /unknown option '--run'/],
  },
  skip: {
    right: ["skip {second}", /does not wait at "paid" any more/],
    wrong: ["skip", /missing required argument 'run'/],
  },
  cancel: { right: ["cancel {third}", /is cancelled/], wrong: ["cancel a b", /too many arguments for 'cancel'/] },
  pause: {
    right: ["pause order --reason holidays", /^Rule order is paused: holidays/],
    wrong: ["pause", /missing required argument 'rule'/],
  },
  resume: { right: ["resume order", /^Rule order is resumed/], wrong: ["resume", /missing required argument 'rule'/] },
  connect: {
    right: ["connect robot", /^robot is connected/],
    wrong: ["connect", /missing required argument 'connection'/],
  },
  connections: {
    right: ["connections", /^asana +connected .*\nrobot +connected +client_credentials/m],
    wrong: ["connections robot", /too many arguments for 'connections'/],
    lists: true,
  },
  disconnect: {
    right: ["disconnect asana", /^asana is disconnected; its tokens are revoked/],
    wrong: ["disconnect asana --revok", /unknown option '--revok'/],
  },
  devices: {
    right: ["devices --state reachable", /^plant\/plc +press-1 +reachable/m],
    wrong: ["devices --state gone", /Allowed choices are distributing/],
    lists: true,
  },
  task: {
    right: ["task plant/plc greet --to press-1", /^press-1: "hello press-1"\n1 of 1 succeeded/],
    wrong: ["task plant/plc greet", /required option '--to <device\.\.\.>' not specified/],
  },
  forms: {
    right: ["forms --for anna", /Refund 250 EUR\?/],
    wrong: ["forms --state closed", /Allowed choices are open, answered/],
    lists: true,
  },
  answer: {
    right: ["answer {form} decision=approve amount=7 --as anna", /^Answered as anna; run .+ resumes/],
    wrong: ["answer {form} decision=approve", /required option '--as <person>' not specified/],
  },
  "hooks open": {
    right: ["hooks open tasks --for 5m", /^tasks +\/hooks\/asana +open, closes in/m],
    wrong: ["hooks open", /missing required argument 'rule'/],
  },
  hooks: { right: ["hooks", /open, closes in .+[0-9a-f]{8} \(/], wrong: ["hooks opn", /opn/], lists: true },
  "hooks remove": {
    right: ["hooks remove tasks", /^tasks is removed/],
    wrong: ["hooks remove", /missing required argument 'secret'/],
  },
  "people add": {
    right: ["people add eve --token --folder {rules}", /eve/],
    wrong: ["people add eve --tokn", /unknown option '--tokn'\n\(Did you mean --token\?\)/],
  },
  people: {
    right: ["people --folder {rules}", /^eve +.*token/m],
    wrong: ["people --folder {nowhere}", /nowhere/],
    lists: true,
  },
  replicas: {
    right: ["replicas", /has one program/],
    wrong: ["replicas --data postgres://u:p#w@h/d", /Cannot read the URL of the database/],
    lists: true,
  },
  check: { right: ["check {alone}", /1 rule/], wrong: ["check {broken}", /broken\.yaml:1:9: .+"crn"/] },
  test: {
    right: ["test {alone}", /1 test passed, 0 failed/],
    wrong: ["test {alone} --filter /(/", /Cannot filter tests by/],
  },
  once: {
    right: ["once {alone} --data {other}", /The pass succeeded/],
    wrong: ["once {nowhere}", /Cannot find .+whenthen init/],
  },
  "move-data": {
    right: ["move-data {other} {database}", /^Copied \d+ files?, \d+ bytes/],
    wrong: ["move-data {other} {nowhere}", /one of the two places must be a folder, the other one a database/],
  },
  pack: {
    right: ["pack {alone} -o {packed}", /runs 1 rule in 1 file/],
    wrong: ["pack {alone}", /required option '-o, --output <file>' not specified/],
  },
  init: { right: ["init {new}", /^Made .+hello\.yaml/], wrong: ["init {oto}", /oto\.json/] },
  schema: { right: ["schema", /json-schema/], wrong: ["schema yaml", /too many arguments for 'schema'/] },
  completion: {
    right: ["completion bash", /complete -F/],
    wrong: ["completion tcsh", /Allowed choices are bash, zsh, fish/],
  },
  licenses: {
    right: ["licenses", /^zod \S+, MIT$/m],
    wrong: ["licenses zod", /too many arguments for 'licenses'/],
    lists: true,
  },
};
