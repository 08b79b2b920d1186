//! Logs of DHCP and DNS servers: the fields that each reader extracts.

mod common;

use weir_schema::Format;

use common::{check, context};

/// Lines, and parts of their events in the form `name=value`, which two spaces separate.
const DHCP: &[(&str, &str)] = &[
    // ISC dhcpd
    (
        "<30>Mar  1 10:00:00 ns1 dhcpd[77]: DHCPDISCOVER from 00:00:5e:00:53:01 (laptop) via eth0: network 192.0.2.0/24: no free leases",
        "SOURCE=dhcp/linux/dhcpd  action=discover  src_mac=00:00:5e:00:53:01  src_host=laptop  interface=eth0  outcome=failure  src_ip=",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 dhcpd[77]: DHCPREQUEST for 192.0.2.10 (192.0.2.1) from 00:00:5e:00:53:01 (laptop) via 198.51.100.1",
        "host=ns1  action=request  src_ip=192.0.2.10  dst_ip=192.0.2.1  src_mac=00:00:5e:00:53:01  src_host=laptop  relay_ip=198.51.100.1  outcome=",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 dhcpd[77]: DHCPREQUEST for 192.0.2.10 from 00:00:5e:00:53:01 via eth0: wrong network.",
        "src_ip=192.0.2.10  src_mac=00:00:5e:00:53:01  src_host=  outcome=failure  reason=wrong network",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 dhcpd[77]: DHCPACK on 192.0.2.10 to 00:00:5e:00:53:01 (laptop) via eth0",
        "action=ack  outcome=success  src_ip=192.0.2.10  src_mac=00:00:5e:00:53:01  src_host=laptop",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 dhcpd[77]: DHCPACK to 192.0.2.10 (00:00:5e:00:53:01) via eth0",
        "action=ack  src_ip=192.0.2.10  src_mac=00:00:5e:00:53:01  src_host=",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 dhcpd[77]: DHCPNAK on 192.0.2.10 to 00:00:5e:00:53:01 via eth0",
        "action=nak  outcome=failure  src_ip=192.0.2.10",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 dhcpd[77]: DHCPRELEASE of 192.0.2.10 from 00:00:5e:00:53:01 (laptop) via eth0 (found)",
        "action=release  src_ip=192.0.2.10  src_host=laptop  interface=eth0",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 dhcpd[77]: DHCPINFORM from 192.0.2.10 via eth0",
        "action=inform  src_ip=192.0.2.10",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 dhcpd[77]: Solicit message from fe80::1 port 546, transaction ID 0xA1",
        "action=discover  src_ip=fe80::1  src_port=546",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 dhcpd[77]: Reply NA: address 2001:db8::10 to client with duid 00:01:00:01:2a:2b:2c:2d:00:00:5e:00:53:01 iaid = 1 valid for 3600 seconds",
        "action=ack  outcome=success  src_ip=2001:db8::10  duid=00:01:00:01:2a:2b:2c:2d:00:00:5e:00:53:01",
    ),
    // The name of a client imitates the rest of the line.
    (
        "<30>Mar  1 10:00:00 ns1 dhcpd[77]: DHCPREQUEST for 192.0.2.10 from 00:00:5e:00:53:01 (x) via 6.6.6.6: y) via eth0",
        "src_ip=192.0.2.10  src_host=x) via 6.6.6.6: y  interface=eth0  relay_ip=",
    ),
    // dnsmasq
    (
        "<30>Mar  1 10:00:00 ns1 dnsmasq-dhcp[7]: DHCPACK(eth0) 192.0.2.10 00:00:5e:00:53:01 laptop",
        "SOURCE=dhcp/linux/dnsmasq  action=ack  outcome=success  src_ip=192.0.2.10  src_mac=00:00:5e:00:53:01  src_host=laptop  interface=eth0",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 dnsmasq-dhcp[7]: 3312 DHCPDISCOVER(eth0) 00:00:5e:00:53:01 no address available",
        "action=discover  outcome=failure  reason=no address available  src_mac=00:00:5e:00:53:01",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 dnsmasq-dhcp[7]: DHCPREPLY(eth0) 2001:db8::10 00:01:00:01:2a:2b:2c:2d:00:00:5e:00:53:01 laptop",
        "action=ack  src_ip=2001:db8::10  duid=00:01:00:01:2a:2b:2c:2d:00:00:5e:00:53:01  src_host=laptop",
    ),
    // Kea
    (
        "<30>Mar  1 10:00:00 ns1 kea-dhcp4[7]: INFO  [kea-dhcp4.leases.140] DHCP4_LEASE_ALLOC [hwtype=1 00:00:5e:00:53:01], cid=[01:00:00:5e:00:53:01], tid=0x1: lease 192.0.2.10 has been allocated for 3600 seconds",
        "SOURCE=dhcp/linux/kea  action=ack  outcome=success  src_ip=192.0.2.10  src_mac=00:00:5e:00:53:01  msgid=DHCP4_LEASE_ALLOC",
    ),
    (
        "2026-03-01 10:00:00.250 INFO  [kea-dhcp6.leases/77.140] DHCP6_LEASE_ALLOC duid=[00:01:00:01:2a:2b:2c:2d:00:00:5e:00:53:01], [no hwaddr info], tid=0x1: lease for address 2001:db8::10 and iaid=1 has been allocated for 3600 seconds",
        "SOURCE=dhcp/linux/kea  TIME=2026-03-01T10:00:00.250000000Z  action=ack  src_ip=2001:db8::10  duid=00:01:00:01:2a:2b:2c:2d:00:00:5e:00:53:01  PROBLEMS=",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 kea-dhcp4[7]: DEBUG [kea-dhcp4.packets.140] DHCP4_PACKET_RECEIVED [hwtype=1 00:00:5e:00:53:01], cid=[no info], tid=0x1: DHCPDISCOVER (type 1) received from 192.0.2.1 to 192.0.2.2 on interface eth0",
        "action=discover  src_ip=192.0.2.1  dst_ip=192.0.2.2",
    ),
    // Windows
    (
        "10,03/01/26,10:00:00,Assign,192.0.2.10,laptop.example.org,00005E005301,,2345,0,,,,0x4D534654,MSFT 5.0,,,,0",
        "SOURCE=dhcp/windows/dhcp-server  TIME=2026-03-01T10:00:00.000000000Z  action=ack  outcome=success  src_ip=192.0.2.10  src_host=laptop.example.org  src_mac=00005E005301  event_id=10  PROBLEMS=",
    ),
    (
        "<14>Mar  1 10:00:05 dc1 15,03/01/26,10:00:00,NACK,192.0.2.10,laptop,00005E005301,,0,6,,,,,,,,,0",
        "host=dc1  action=nak  outcome=failure  src_ip=192.0.2.10",
    ),
    // MikroTik
    (
        "<30>Mar  1 10:00:00 r1 dhcp,info dhcp1 assigned 192.0.2.10 to 00:00:5E:00:53:01",
        "SOURCE=dhcp/mikrotik/  action=ack  outcome=success  src_ip=192.0.2.10  src_mac=00:00:5E:00:53:01",
    ),
    (
        "<30>Mar  1 10:00:00 r1 dhcp,info dhcp1 deassigned 192.0.2.10 for 00:00:5E:00:53:01 laptop",
        "action=release  outcome=  src_ip=192.0.2.10  src_host=laptop",
    ),
];

const DNS: &[(&str, &str)] = &[
    // dnsmasq
    (
        "<30>Mar  1 10:00:00 ns1 dnsmasq[7]: query[A] www.example.org from 192.0.2.9",
        "SOURCE=dns/linux/dnsmasq  action=query  query=www.example.org  record_type=A  src_ip=192.0.2.9",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 dnsmasq[7]: 12 192.0.2.9/53412 query[AAAA] www.example.org from 192.0.2.9",
        "src_ip=192.0.2.9  src_port=53412  record_type=AAAA",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 dnsmasq[7]: forwarded www.example.org to 198.51.100.53#53",
        "SOURCE=/linux/dnsmasq  action=forward  query=www.example.org  dst_ip=198.51.100.53",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 dnsmasq[7]: reply www.example.org is 198.51.100.7",
        "action=answer  query=www.example.org  answer=198.51.100.7  src_ip=",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 dnsmasq[7]: cached nope.example.org is NXDOMAIN",
        "action=answer  query=nope.example.org  rcode=NXDOMAIN  answer=  outcome=",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 pihole-FTL[7]: gravity blocked ads.example.org is 0.0.0.0",
        "SOURCE=/linux/dnsmasq  action=block  outcome=failure  query=ads.example.org",
    ),
    // The name that a client asks for imitates the rest of the line.
    (
        "<30>Mar  1 10:00:00 ns1 dnsmasq[7]: query[A] x from 6.6.6.6 from 192.0.2.9",
        "src_ip=192.0.2.9  query=x from 6.6.6.6",
    ),
    // Unbound
    (
        "<30>Mar  1 10:00:00 ns1 unbound[77]: [77:0] info: 192.0.2.9 www.example.org. A IN",
        "SOURCE=dns/linux/unbound  action=query  query=www.example.org  record_type=A  src_ip=192.0.2.9",
    ),
    (
        "<30>Mar  1 10:00:00 ns1 unbound[77]: [77:0] reply: 2001:db8::9 www.example.org. AAAA IN REFUSED 0.000123 0 56",
        "action=answer  src_ip=2001:db8::9  rcode=REFUSED  outcome=failure",
    ),
    (
        "[1772359200] unbound[77:0] info: ads.example.org. always_nxdomain 192.0.2.9@53412 ads.example.org. A IN",
        "SOURCE=dns/linux/unbound  TIME=2026-03-01T10:00:00.000000000Z  program=unbound  src_ip=192.0.2.9  src_port=53412  query=ads.example.org  action=block  outcome=failure  PROBLEMS=",
    ),
    // CoreDNS
    (
        "2026-03-01T10:00:00.5Z stdout F [INFO] 192.0.2.9:53412 - 2345 \"A IN www.example.org. udp 42 false 512\" NOERROR qr,aa,rd 68 0.0001s",
        "SOURCE=dns/linux/coredns  src_ip=192.0.2.9  src_port=53412  query=www.example.org  record_type=A  rcode=NOERROR  PROBLEMS=",
    ),
    // Windows
    (
        "3/1/2026 10:00:00 AM 0AB4 PACKET  000001F4F6A0C0D0 UDP Rcv 192.0.2.9       5a5a   Q [0001   D   NOERROR] A      (3)www(7)example(3)org(0)",
        "SOURCE=dns/windows/dns-server  TIME=2026-03-01T10:00:00.000000000Z  src_ip=192.0.2.9  query=www.example.org  record_type=A  action=query  rcode=  PROBLEMS=",
    ),
    (
        "3/1/2026 10:00:00 AM 0AB4 PACKET  000001F4F6A0C0D0 UDP Snd 192.0.2.9       5a5a R Q [8385 A DR NXDOMAIN] AAAA   (3)www(7)example(3)org(0)",
        "dst_ip=192.0.2.9  src_ip=  action=answer  rcode=NXDOMAIN  record_type=AAAA  outcome=",
    ),
];

fn check_all(lines: &[(&str, &str)]) {
    for (line, expected) in lines {
        let pairs = expected.split("  ").filter_map(|pair| pair.split_once('='));
        let expected: Vec<_> = pairs.collect();
        check(line.as_bytes(), &context(Format::Auto), &expected);
    }
}

#[test]
fn read_dhcp_servers() {
    check_all(DHCP);
}

#[test]
fn read_name_servers() {
    check_all(DNS);
}
