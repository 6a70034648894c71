/**
 * Whether an IP address is in a list of networks, as the settings have them.
 */
import { BlockList, isIP } from 'node:net';

/** Tells whether an address is in the list. */
export type Membership = (address: string | undefined) => boolean;

/**
 * Makes the test for a list of addresses and networks; `*` is every address, but no address is none. An IPv4 address
 * in IPv6 notation, as the kernel gives it on `[::]`, counts as what it stands for.
 */
export function membershipIn(networks: readonly string[]): Membership {
  const list = new BlockList();
  let everybody = false;
  for (const network of networks) {
    const [address = '', bits] = network.split('/');
    if (network === '*') everybody = true;
    else if (bits === undefined) list.addAddress(address, familyOf(address));
    else list.addSubnet(address, Number(bits), familyOf(address));
  }
  return (address) => {
    // A link-local one comes with the interface.
    const bare = address?.replace(/%.*/, '') ?? '';
    if (isIP(bare) === 0) return false;
    return everybody || list.check(bare, familyOf(bare));
  };
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}
