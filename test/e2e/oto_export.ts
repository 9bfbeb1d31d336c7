/** Flags of a command as OTO exports them. */
export const OTO = [
  {
    flag: "-iR",
    description: "Choose random targets",
    executable_tag: "nmap - 7.98",
    requires_root: false,
    requires_value: true,
    value_type: "int",
  },
  {
    flag: "--rtt",
    description: "How long: to wait",
    executable_tag: "nmap - 7.98",
    requires_root: true,
    requires_value: true,
    value_type: "string (time)",
    require_ids: ["-iR"],
    interfer_ids: ["-gone"],
  },
];
