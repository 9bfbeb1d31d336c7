import { evaluate } from "../language/expressions/expression.ts";
import { Slices } from "../host/large_work.ts";
import type { DeviceOwner, DeviceSearch, DeviceState, DeviceView, Fleet, Recipients } from "../model/fleet.ts";
import type { Json } from "../model/json.ts";
import { INVENTORY } from "../folder/fleet_inventory.ts";
import type { NamedPlace, PlaceStore, Store } from "../store/store.ts";
import { type FleetSharing, PLACES_AT_ONCE } from "./sharing.ts";

/** One list for all devices without tags. */
const NO_TAGS: string[] = [];

/** A device's tags. */
export function tagsOf({ tags }: Fleet, item: Json): string[] {
  if (tags === undefined) return NO_TAGS;
  try {
    const value = evaluate(tags, { item });
    const list = Array.isArray(value) ? value : [value];
    return list.filter((tag) => tag !== null && typeof tag !== "object").map(String);
  } catch {
    // An item without the field has no tags.
    return NO_TAGS;
  }
}

/** Whether recipients are those with any of some tags. */
export function isTags(to: Recipients): to is { tags: string[] } {
  return typeof to === "object" && to !== null && "tags" in to && Array.isArray(to.tags);
}

/** Shows the devices of all replicas, as each of them has them in the store. */
export class SharedViews {
  constructor(
    private readonly store: PlaceStore & Pick<Store, "getItems" | "getBaseline">,
    private readonly shared: FleetSharing,
  ) {}

  /** The devices that fit, in order of their names, and how many there are. */
  async find(fleet: Fleet, search: DeviceSearch): Promise<{ devices: DeviceView[]; total: number }> {
    const { states, tags, name, after, max = 100 } = search;
    const devices: DeviceView[] = [];
    const owners = await this.#owners();
    const slices = new Slices();
    let total = 0;
    const isPart = (place: NamedPlace) =>
      (states === undefined || states.includes(stateOf(place))) && (name === undefined || place.name.includes(name));
    for (let page = await this.store.listPlaces(fleet.id, PLACES_AT_ONCE); page.length > 0;) {
      const found = page.filter(isPart);
      const isShown = devices.length < max && found.some((place) => after === undefined || place.name > after);
      const items = tags !== undefined || isShown ? await this.#items(fleet, found) : undefined;
      for (const place of found) {
        const item = items?.get(place.name) ?? null;
        const its = items === undefined ? NO_TAGS : tagsOf(fleet, item);
        if (tags !== undefined && !its.some((tag) => tags.includes(tag))) continue;
        total++;
        if (devices.length < max && (after === undefined || place.name > after)) {
          devices.push(viewOf(place, item, its, owners));
        }
      }
      if (slices.isOver) await slices.next();
      page = await this.store.listPlaces(fleet.id, PLACES_AT_ONCE, page.at(-1)!.name);
    }
    return { devices, total };
  }

  /** One device. */
  async get(fleet: Fleet, name: string): Promise<DeviceView | undefined> {
    const [place] = await this.store.getPlaces(fleet.id, [name]);
    if (place === undefined) return undefined;
    const item = (await this.#items(fleet, [place])).get(name) ?? null;
    return viewOf(place, item, tagsOf(fleet, item), await this.#owners());
  }

  /** The names of all devices of the inventory, or of those with any of some tags. */
  async names(fleet: Fleet, tags?: string[]): Promise<string[]> {
    const names: string[] = [];
    const slices = new Slices();
    const key = { rule: fleet.id, trigger: INVENTORY };
    for (let page = await this.store.getBaseline(key, PLACES_AT_ONCE); page.size > 0;) {
      let last = "";
      for (const [name, item] of page) {
        if (tags === undefined || tagsOf(fleet, item).some((tag) => tags.includes(tag))) names.push(name);
        last = name;
      }
      if (slices.isOver) await slices.next();
      page = await this.store.getBaseline(key, PLACES_AT_ONCE, last);
    }
    return names.sort();
  }

  #items(fleet: Fleet, places: NamedPlace[]): Promise<Map<string, Json>> {
    return this.store.getItems({ rule: fleet.id, trigger: INVENTORY }, places.map(({ name }) => name));
  }

  async #owners(): Promise<Map<string, DeviceOwner>> {
    const members = await this.shared.members();
    return new Map(members.map(({ id, name, address }) => [id, { replica: id, host: name, address }]));
  }
}

function stateOf({ owner, wanted, state }: NamedPlace): DeviceState {
  return owner === wanted ? state : "distributing";
}

function viewOf(place: NamedPlace, data: Json, tags: string[], owners: Map<string, DeviceOwner>): DeviceView {
  const { fleet, name, since, failures = 0, error, again, owner } = place;
  return {
    fleet,
    device: name,
    state: stateOf(place),
    tags,
    data,
    since,
    failures,
    ...error !== undefined && { error },
    ...again !== undefined && { again },
    ...owner !== undefined && { owner: owners.get(owner) ?? { replica: owner, host: "", address: null } },
  };
}
