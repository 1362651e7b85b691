//! Every attribute that is known, by what its values are.
//!
//! A name means one thing wherever it stands, as a rule; where menus differ, its form takes all that they say (see
//! [`super::generic`]). Names that are not here are known by how they are built: see `family`.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What the values of an attribute are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Yes or no; some menus have more answers.
    Flag,
    /// Something counted by the router, or two of it.
    Count,
    /// A number, with its unit; or a word instead of one.
    Number(&'static str),
    /// A span of time.
    Span,
    /// Bits a second.
    Rate,
    /// Hardware addresses, perhaps with a mask.
    Mac,
    /// Addresses of any kind: IP, networks, names, with port or interface.
    Address,
    /// A date.
    Day,
    /// A date with a time of day.
    Moment,
    /// An offset from UTC.
    Offset,
    /// A time of day, a date with it, a span, or a schedule: `time` is all of them.
    Time,
    /// Words parted by commas.
    List,
    /// One word or a text.
    Text,
    /// What nobody may read. Only whether there is one is told.
    Secret,
}

const FLAGS: &str = "
802.1x-port-enabled DHCP accept-redirects accept-router-advertisements accept-source-route accounting active add-default-route
add-mac-cookie add-sni allow-fast-path allow-managed-peers allow-none-crypto allow-roaming allow-shared-key allow-sharedkey
always-allow-password-login ap arp-gratuitous as-override as4-capability authorized auto-isolate auto-mac auto-negotiation
auto-send-supout auto-upgrade automatic-supout available blackhole blocked bound bpdu-guard bridge-fast-path-active
broadcast broadcast-flood bsd-syslog cache-used-flag check-certificate clamp-tcp-mss client-isolation client-to-client-forwarding
client-to-client-reflection complete compression connect connected copy-to-cpu cpu-flow-control ddns-enabled deauthenticate
default default-authentication default-forwarding dhcp dhcp-snooping add-dhcp-option82 dial-on-demand disable-ipv6
disable-pmkid disable-running-check disabled dont-require-permissions drop dst-active dynamic eap-accounting
eap-radius-accounting edge-port edge-port-discovery enable-tun-ipv6 enabled esr established eui-64 expired external
external-fdb-status fast-forward fast-leave fast-path fib forbid force-backup-booter forward-unknown-vlan forwarding
forwarding-enabled ft ft-over-ds ft-preserve-vlanid full-duplex gateway-down hide-ssid hotspot20 hotspot20-dgaf hw hw-crypto
hw-offload hw-offloaded icmp-errors-use-inbound-interface-address igmp-snooping ignore-as-path-len inactive ingress-filtering
input.ignore-as-path-len internet invalid ip-forward ipsec ipv4-fast-path-active ipv4-fasttrack-active ipv6
ipv6-fast-path-active isolate-stations isolated learning link-local link-ok local local-forwarding lock-to-caps-man log
mac-level-isolation manycast master mirror mirror-egress-if-ingress-mirrored mirror-tx-on-mirror-port multicast
multicast-querier multihop no-dad not-learned nstreme one-session-per-host originate-default ospf
output.keep-sent-attributes output.no-client-to-client-reflection output.no-early-cut override-existing-when-ufdb-full
passive passthrough pcp-propagation pfs point-to-point-port preemption-mode promiscuous-mode published radius radius-accounting
radius-eap-accounting radius-mac-accounting radius-mac-authentication random-data read-access reachable redirect-to-cpu
redistribute-connected redistribute-ospf redistribute-other-bgp redistribute-rip redistribute-static refresh-capability
remove-private-as require-client-certificate require-message-auth require-peer-certificate responder restricted-role
restricted-tcn rip route-reflect router routerboard rp-filter rrm running sa-learning save-selected secure-redirects
send-initial-contact send-redirects sending-rstp sfp-module-present sfp-rx-loss sfp-tx-fault shared
show-at-cli-login show-at-login silent-boot slave slaves-static sms-read static static-virtual stp strong-crypto suppress-hw-offload
svl sync-connection-tracking tag-stacking tcp-syncookies time-zone-autodetect transparent-proxy trusted
tunnel uesa unknown-multicast-flood unknown-unicast-flood up update-time use-bfd use-cvid-in-one2one-vlan-lookup
use-ip-firewall use-ip-firewall-for-pppoe use-ip-firewall-for-vlan use-ipsec use-local-clock use-network-apn use-peer-dns
use-peer-ntp use-radius use-service-tag use-svid-in-one2one-vlan-lookup verify-client-certificate verify-doh-cert
verify-server-address-from-certificate verify-server-certificate vlan-filtering vpn wan-at-capacity wan-symmetric wds
wds-ignore-ssid wmm-enabled wnm write-access bgp dead keep-me-updated completed is-mdns logged nat-t
";

const COUNTS: &str = "
authenticated-clients authorized-peers beamforming-event bridge-fast-forward-bytes bridge-fast-forward-packets
bridge-fast-path-bytes bridge-fast-path-packets bytes bytes-in bytes-out connection-count cpu-count
current-authorized-clients current-registered-clients downloaded driver-rx-byte driver-rx-packet driver-tx-byte
driver-tx-packet dropped forward-transitions fp-rx-byte fp-rx-packet fp-tx-byte fp-tx-packet frame-bytes frames
free-hdd-space free-memory hw-frame-bytes hw-frames ipv4-fast-path-bytes ipv4-fast-path-packets ipv4-fasttrack-bytes
ipv4-fasttrack-packets ipv6-fast-path-bytes ipv6-fast-path-packets link-downs lost-packets match-count name-count packets
packets-in packets-out ph2-count prefix-count queued-bytes queued-packets received registered-clients registered-peers
run-count rx rx-1024-1518 rx-1024-max rx-128-255 rx-1519-max rx-256-511 rx-512-1023 rx-64 rx-65-127 rx-align-error
rx-bpdu rx-broadcast rx-byte rx-bytes rx-carrier-error rx-code-error rx-control rx-drop rx-error rx-error-events
rx-fcs-error rx-fragment rx-jabber rx-length-error rx-mpdu-crc-err rx-mpdu-crc-ok rx-multicast rx-overflow rx-packet
rx-pause rx-ppdu rx-tc rx-too-long rx-too-short rx-unicast rx-unknown-op rx-ip-header-checksum-error
rx-tcp-checksum-error rx-udp-checksum-error sent size topology-changes total total-bytes total-dropped total-hdd-space
total-memory total-packets total-queued-bytes total-queued-packets tx tx-1024-1518 tx-1024-max tx-128-255 tx-1519-max
tx-256-511 tx-512-1023 tx-64 tx-65-127 tx-all-queue-drop-byte tx-all-queue-drop-packet tx-bpdu tx-broadcast tx-byte
tx-bytes tx-carrier-sense-error tx-collision tx-control tx-deferred tx-drop tx-error tx-excessive-collision
tx-excessive-deferred tx-fcs-error tx-fragment tx-frames-timed-out tx-fw-msdu tx-io-msdu tx-jabber tx-late-collision
tx-mpdu-new tx-mpdu-retry tx-mpdu-total tx-multicast tx-multiple-collision tx-packet tx-pause tx-pause-honored tx-ppdu
tx-ppdu-from-q tx-queue-drop tx-rx-1024-1518 tx-rx-1024-max tx-rx-128-255 tx-rx-1519-max tx-rx-256-511 tx-rx-512-1023
tx-rx-64 tx-rx-65-127 tx-single-collision tx-sw-msdu tx-tc tx-too-long tx-too-short tx-total-collision tx-underrun
tx-unicast tx-rate-limit-drop updates-received updates-sent withdrawn-received withdrawn-sent write-sect-since-reboot
write-sect-total compact-count current-entries cache-used max-entries total-entries uploaded retries hits evicted
";

/// Numbers, by the unit that their names get; a name that says its unit gets none.
const NUMBERS: &[(&str, &str)] = &[
    (
        "",
        "
ampdu-priorities arp-hardware-type arp-opcode arp-packet-type as chains connect-priority cqi current-cellid
current-endpoint-port customer-vid datapath.vlan-id default-route-distance default-vlan-id designated-cost
designated-port-number dh-groups dscp dtim-period enb-id endpoint-port hop-count hw-retries icmp-rate-limit icmp-rate-mask
ifindex ingress-priority input.affinity input.allow-as internal-path-cost ipv6-prefix-len irq l2mtu lacp-user-key limit
listen-port local-as local-clock-stratum local-port max-fdb-size max-l2mtu max-mru max-mtu max-neighbor-entries max-sessions
max-sta-count max-station-count mcs min-links minimum-categories minimum-password-length mirrored-packet-qos-priority mlag-id mrru
mtu actual-mtu netmask new-customer-vid new-service-vid nlevel nv2-queue-count nv2-sync-period-size operational-classes
output.affinity output.default-prepend p-throughput path-cost phy-cellid earfcn port-number priority proxy-port pvid radios
remote-as remote-port ri root-path-cost rx-chains rx-sector sae-anti-clogging-threshold scope sector-id
security.connect-priority seq service-vid shared-users src-port dst-port stratum synced-stratum target-scope
tdma-period-size trap-version ttl tx-chains tx-mcs tx-sector vid vlan-id vlan-ids vni vrid wan-downlink
wan-measurement-duration wan-uplink wds-default-cost 3gpp-info hw-protection-threshold hw-fragmentation-threshold
nv2-cell-radius bridge-cost cost scan-list default-scan-list advertise-count burst-size ratio nth hotspot per-connection-limit
max-prefix-limit max-clients max-active max-instances pool6-prefix-length prefix-length table-id interface-id lac-id ft-mobility-domain
wpa-id server-port http-port ipsec-policy-count threads key-size days-valid bits modem-port data-channel info-channel pin-code
",
    ),
    (
        "dbm",
        "
noise-floor rsrp rssi rx-signal rx-power tx-signal signal signal-per-link signal-range signal-strength signal-strength-ch0
signal-strength-ch1 signal-strength-ch2 signal-strength-ch3 tx-signal-strength tx-signal-strength-ch0
tx-signal-strength-ch1 tx-signal-strength-ch2 tx-power 10s-average-rssi sfp-rx-power sfp-tx-power ant-power
",
    ),
    ("db", "antenna-gain rsrq signal-to-noise sinr cinr evm-ch0 evm-ch1 evm-ch2"),
    (
        "percent",
        "
bad-blocks cpu-load disk load nv2-downlink-ratio nv2-sync-downlink-ratio overall-tx-ccq packet-loss rx-ccq tx-ccq
tx-packet-error-rate wan-downlink-load wan-uplink-load memory-usage cpu
",
    ),
    (
        "bytes",
        "amsdu-limit amsdu-threshold limit-bytes-in limit-bytes-out limit-bytes-total rx-size tx-size packet-size cache-size file-size",
    ),
    ("bits", "host-key-size"),
    (
        "mhz",
        "cpu-frequency frequency frequency-offset secondary-frequency channel.frequency center-freq control-frequency",
    ),
    ("us", "ack-timeout"),
    ("ppm", "freq-drift"),
    ("ms", "system-offset"),
    ("m", "distance nv2-sync-distance sfp-link-length-50um sfp-link-length-62um sfp-link-length-9um sfp-link-length-copper"),
    ("nm", "sfp-wavelength"),
    ("ma", "sfp-tx-bias-current"),
    ("v", "sfp-supply-voltage"),
    ("c", "sfp-temperature"),
    ("pps", "packet-rate total-packet-rate rx-packets-per-second tx-packets-per-second fp-rx-packets-per-second fp-tx-packets-per-second"),
    ("per_second", "rx-drops-per-second tx-drops-per-second rx-errors-per-second tx-errors-per-second tx-queue-drops-per-second"),
];

const SPANS: &str = "
advertise-interval advertise-timeout age ageing-time allow-signal-out-of-range arp-interval arp-timeout avg-rtt beacon-interval
burst-time connected-time connect-retry-time ddns-update-interval disconnect-timeout down-delay duration expires-after
expires-in forward-delay frame-lifetime ft-r0-key-lifetime ft-reassociation-deadline group-key-update hello-time hold-time
idle-time idle-timeout inactivity-timeout interim-update interval keepalive-interval keepalive-time keepalive-timeout
lacp-rate last-activity last-adjustment last-handshake last-seen last-update-before lease-time limit-uptime
loop-protect-disable-time loop-protect-send-interval mac-cookie-timeout max-message-age max-rtt mii-interval min-rtt
on-fail-retry-time persistent-keepalive poll-interval preemption-delay query-interval reformat-hold-button
reformat-hold-button-max remote-hold-time reneg-sec reselect-interval rtt session-time-left session-timeout session-uptime
since startup-delay status-autorefresh timeout unicast-fdb-timeout up-delay update-interval update-stats-interval uptime
used-hold-time used-keepalive-time valid-lifetime preferred-lifetime ttl-time reauth-interval jitter mean-rtt time-left
";

const RATES: &str = "
ap-tx-limit basic basic-rates-a/g basic-rates-b bandwidth burst-limit burst-threshold client-tx-limit
default-ap-tx-limit default-client-tx-limit fp-rx-bits-per-second fp-tx-bits-per-second limit-at local-tx-speed max-limit
rate rate-limit remote-tx-speed rx-10-second-average rx-bits-per-second rx-current rx-phy-rate rx-rate rx-rate-per-link
rx-total-average speed supported-rates-a/g supported-rates-b total-rate tx-10-second-average tx-bits-per-second
tx-current tx-phy-rate tx-rate tx-rate-per-link tx-total-average total-limit-at total-max-limit total-burst-limit
";

const MACS: &str = "
active-mac-address arp-dst-mac-address arp-src-mac-address base-mac bssid client-mac-address dst-mac-address hessid mac-address
mac-address-mask mld-address mld-link-addresses nv2-sync-master orig-mac-address passthrough-mac radio-mac
src-mac-address station-bridge-clone-mac admin-mac ap-mac
";

const ADDRESSES: &str = "
active-address address address4 address6 addresses address-ranges allowed-address arp-ip-targets available-from
broadcast-addresses caps-man-addresses client-address client-allowed-address client-dns client-endpoint cluster-id connect-to
current-caps-man-address current-endpoint-address dhcp-server dns-servers doh-servers dst-address endpoint-address
gateway host http-proxy ip-address-ranges last-ip last-update-from local-address local.address network nexthop
pref-src prefix preboot-etherboot-server primary-dns primary-ntp proxy public-address public-address-ipv6 remote remote-address remote.address
remote-id remote-ip router-id routes sa-dst-address sa-src-address secondary-dns secondary-ntp servers src-address
synced-server trap-target tun-server-ipv6 active-server-address server-address dns-server ntp-server wins-server
to-addresses radius-server via-address immediate-gw
";

const DAYS: &str = "date";
const MOMENTS: &str = "
build-time creation-time invalid-after invalid-before last-link-down-time last-link-up-time last-logged-in last-started
next-run state-change-time when expires-at deadline-at last-modified
";
const OFFSETS: &str = "gmt-offset dst-delta";
const TIMES: &str = "time start-time stop-time";

const LISTS: &str = "
address-families address-lists advertise advertising allow auth authentication-types auto-negotiation-modes
bypass-ingress-port-policing-for bypass-l2-security-check-filter-for bypass-vlan-ingress-filter-for
caps-man-certificate-common-names caps-man-names cipher ciphers connection-state current-tagged current-untagged
discovered-by discovery-interfaces domain-names drop-if-invalid-or-src-port-not-member-of-vlan-on-ports
drop-if-no-vlan-assignment-on-ports eap-methods egress-mirror0 egress-mirror1 features forwarding-override
group-ciphers ht-basic-mcs ht-supported-mcs hw-supported-modes ingress-mirror0 ingress-mirror1 interfaces leds
link-partner-advertising mld-interfaces network-mode operator-names output.redistribute packet-marks policy ports
realms roaming-ois security.authentication-types server-dns-names slave-configurations slaves supported
supported-bands system-caps system-caps-enabled tagged tagged-ports templates topics trap-generators trap-interfaces
unicast-ciphers untagged venue-names vht-basic-mcs vht-supported-mcs vlan-uses fdb-uses include exclude key-usage
";

const TEXTS: &str = "
.about .dead .id .nextid .section aaa ac-name action active-client-id active-server actual-interface
adaptive-noise-immunity add-path-out address-list advertise-url apn apn-profiles architecture-name area arp auth-key auth-type
authentication authentication-protocol authentication-type band board board-name boot-device boot-protocol bridge
bridge-horizon bridge-mode bridge-type bucket-size ca-certificate cable-settings called-format calling-format cap certificate
chain channel channel-width channel.band channel.skip-dfs-channels channel.width cisco-vpls-nlri-len-fmt client-id comment common-name
common-name-regexp configuration configuration.country configuration.manager configuration.mode configuration.ssid
connect-group contact control-channel-width country cpu-load.oid current-basic-rate-set
current-caps-man-identity current-channel current-firmware current-operator current-rate-set current-state
customer-vlan-format data-class datapath datapath.bridge datapath.traffic-processing debug-info default-group
default-name default-originate default-profile designated-bridge designated-bridge-id designated-port-id
detect-interface-list dfs-mode dhcp-hostname dhcp-option direction discover-interface-list dl-modulation dns-name
dont-fragment down-script dynamic-id eap-anonymous-identity eap-certificate-mode eap-identity eap-tls-certificate
eap-username edge eeprom-checksum egress-mirror-ratio email encoding encryption encryption-protocol engine-id engine-id-suffix
exclude-groups extension-channel factory-firmware factory-software firmware-type frame-types framing-mode frequency-mode from-pool
ft-nas-identifier gateway-status generated-ca-certificate generated-certificate group
group-encryption group-master guard-interval horizon host-name http-codes hw-protection-mode id identity identity-regexp ifname
imei imsi in-bridge in-bridge-list in-filter in-interface in-interface-list inactivity-policy incoming-filter
incoming-packet-mark ingress-mirror-ratio input.accept-communities input.accept-ext-communities
input.accept-large-communities input.accept-nlri input.accept-unknown input.filter insert-queue-before installation
installed-version instance interface interface-list interface-name interface-type internet-interface-list interworking
interworking-profile ip-type ip-version ipsec-protocols ipv4-availability ipv4-multipath-hash-policy
ipv6-availability isolation-profile keepalive-frames l2tp-proto-version l2tpv3-digest-hash lan-interface-list
latest-version learn level link-monitoring list lldp-med-net-policy-vlan load-balancing-group location log-prefix
loop-protect loop-protect-status mac-caching mac-format mac-mode mac-protocol management-encryption
management-protection manager master-configuration master-interface message minimum-firmware mirror-source
mirror-target mirrored-packet-drop-precedence mode model mschapv2-username multicast-buffering multicast-enhance
multicast-helper multicast-lookup-mode multicast-router name name-format name-prefix nas-identifier neighbor-group
network-type nexthop-choice noise-floor-threshold note nv2-mode nv2-noise-floor-offset nv2-qos nv2-security
nv2-sync-state on-backup on-event on-fail on-interface on-login on-logout on-master open-status-page origin out-bridge
out-bridge-list out-filter out-interface out-interface-list outgoing-filter outgoing-packet-mark output.default-originate
output.filter-chain output.filter-select output.network owner package-path packet-mark packet-type parent parent-queue passthrough-interface
password-format peer peer-port ph2-state platform point-to-point port port-id preamble-mode preboot-etherboot
primary primary-band private-algo profile proposal proprietary-extensions
protected-routerboot protocol public-key put-in-bridge put-stations-in-bridge qos-classifier qos-group queue queue-type
radio-name radius-called-format radius-mac-caching radius-mac-format radius-mac-mode rate-selection rate-set rates
redirect-gateway region requested-certificate revision role route-distinguisher routeros-version routing-mark routing-table
rx-flow-control sae-max-failure-rate sae-pwe scheduled security security-profile security.wps select-dynamic-id select-from-vrf
serial serial-number server service service-name service-vlan-format sfp-connector-type sfp-manufacturing-date sfp-type
sfp-vendor-name sfp-vendor-part-number sfp-vendor-revision sfp-vendor-serial skin skip-dfs-channels slaves-datapath
software-id source src-address-list dst-address-list ssid ssid-regexp state static-algo-0 static-algo-1 static-algo-2 static-algo-3
static-sta-private-algo static-transmit-key station-roaming status steering steering.neighbor-group strength-at-rates
supplicant-identity switch syslog-facility syslog-severity syslog-time-format system-description target tcp-timestamps
test-script time-zone-name tls-certificate tls-mode tls-version transmit-hash-policy trap-community tx-flow-control
tx-power-mode tx-rate-set tx-sector-info type uicc unknown-vlan-lookup-mode unpack up-script upgrade-firmware
upgrade-policy uptime.oid url usb-mode user username username-format v3-protocol value venue version via vlan-header
vlan-mode vrf vteps-ip-version wan-interface-list wan-status warning wds-cost-range wds-default-bridge wds-mode width
wireless-protocol wmm-support wps wps-mode bad-blocks-text fingerprint issuer subject scope-name section error failure ret
agent-circuit-id agent-remote-id class-id script event os-name kernel file-name contents package
";

const SECRETS: &str = "
authentication-password eap-password encryption-password ipsec-secret management-protection-key mschapv2-password
nv2-preshared-key nv2-sync-secret passphrase password pre-shared-key preshared-key private-key private-pre-shared-key
sae-password secret static-key-0 static-key-1 static-key-2 static-key-3 static-sta-private-key tcp-md5-key
wpa-pre-shared-key wpa2-pre-shared-key wpa3-pre-shared-key client-private-key radius-secret
";

/// Every name that is listed, with its form.
fn names() -> impl Iterator<Item = (&'static str, Form)> {
    let lists = [
        (Form::Flag, FLAGS),
        (Form::Count, COUNTS),
        (Form::Span, SPANS),
        (Form::Rate, RATES),
        (Form::Mac, MACS),
        (Form::Address, ADDRESSES),
        (Form::Day, DAYS),
        (Form::Moment, MOMENTS),
        (Form::Offset, OFFSETS),
        (Form::Time, TIMES),
        (Form::List, LISTS),
        (Form::Text, TEXTS),
        (Form::Secret, SECRETS),
    ];
    let numbers = NUMBERS
        .iter()
        .map(|(unit, names)| (Form::Number(unit), *names));
    let words = |(form, names): (Form, &'static str)| {
        names.split_ascii_whitespace().map(move |name| (name, form))
    };
    lists.into_iter().chain(numbers).flat_map(words)
}

/// The form of an attribute; null for one that nobody knows.
pub fn form(name: &str) -> Option<Form> {
    static KNOWN: LazyLock<HashMap<&'static str, Form>> = LazyLock::new(|| names().collect());
    let name = name.trim();
    let last = name.rsplit('.').next().filter(|last| !last.is_empty());
    KNOWN
        .get(name)
        .or_else(|| KNOWN.get(last?))
        .copied()
        .or_else(|| family(last.unwrap_or(name)))
}

/// What a name that is not listed tells by how it is built, as RouterOS builds names.
fn family(name: &str) -> Option<Form> {
    const ENDS: &[(&str, Form)] = &[
        ("-mac-address", Form::Mac),
        ("-mac", Form::Mac),
        ("-password", Form::Secret),
        ("-secret", Form::Secret),
        ("-passphrase", Form::Secret),
        ("-shared-key", Form::Secret),
        ("-private-key", Form::Secret),
        ("-address", Form::Address),
        ("-addresses", Form::Address),
        ("-timeout", Form::Span),
        ("-interval", Form::Span),
        ("-delay", Form::Span),
        ("-uptime", Form::Span),
        ("-lifetime", Form::Span),
        ("-rtt", Form::Span),
        ("-bits-per-second", Form::Rate),
        ("-per-second", Form::Count),
        ("-byte", Form::Count),
        ("-bytes", Form::Count),
        ("-packet", Form::Count),
        ("-packets", Form::Count),
        ("-count", Form::Count),
        ("-error", Form::Count),
        ("-errors", Form::Count),
        ("-drop", Form::Count),
        ("-drops", Form::Count),
        ("-frames", Form::Count),
        ("-temperature", Form::Number("c")),
        ("-voltage", Form::Number("v")),
        ("-speed", Form::Number("rpm")),
        ("-enabled", Form::Flag),
        ("-port", Form::Number("")),
        ("-mtu", Form::Number("")),
        ("-id", Form::Text),
        ("-interface", Form::Text),
        ("-interfaces", Form::List),
        ("-list", Form::Text),
        ("-name", Form::Text),
        ("-names", Form::List),
        ("-mode", Form::Text),
        ("-type", Form::Text),
        ("-types", Form::List),
        ("-policy", Form::Text),
        ("-profile", Form::Text),
        ("-certificate", Form::Text),
        ("-version", Form::Text),
        ("-status", Form::Text),
        ("-state", Form::Text),
        ("-regexp", Form::Text),
        ("-script", Form::Text),
        ("-filter", Form::Text),
        ("-comment", Form::Text),
        ("-format", Form::Text),
        ("-group", Form::Text),
    ];
    const BEGINS: &[(&str, Form)] = &[
        ("use-", Form::Flag),
        ("allow-", Form::Flag),
        ("require-", Form::Flag),
        ("disable-", Form::Flag),
        ("enable-", Form::Flag),
        ("verify-", Form::Flag),
        ("redistribute-", Form::Flag),
        ("ignore-", Form::Flag),
        ("is-", Form::Flag),
    ];
    let end = ENDS.iter().find(|(end, _)| name.ends_with(end));
    let found = end.or_else(|| BEGINS.iter().find(|(begin, _)| name.starts_with(begin)));
    found.map(|(_, form)| *form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_has_two_forms() {
        let mut seen = HashMap::new();
        for (name, form) in names() {
            assert_eq!(seen.insert(name, form), None, "{name}");
        }
    }

    #[test]
    fn names_by_their_build_and_names_of_nobody() {
        assert_eq!(form("lan-mac-address"), Some(Form::Mac));
        assert_eq!(form("steering.rrm"), Some(Form::Flag));
        assert_eq!(form("security.passphrase"), Some(Form::Secret));
        assert_eq!(form("psu1-voltage"), Some(Form::Number("v")));
        assert_eq!(form("flux-capacitance"), None);
        assert_eq!(form(""), None);
    }
}
