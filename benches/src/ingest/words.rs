//! What the routers say: one kind of device, with the words of real replies of a 6.x device.
//!
//! An access point has 25 clients, 8 interfaces and its sensors; a customer's device has one row in its table, that of
//! its access point, and 3 interfaces. Menus that are not here are `no such command`.

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    AccessPoint,
    Customer,
}

/// Clients in the table of an access point.
const CLIENTS: usize = 25;

/// A row of a reply.
pub(super) type Row = Vec<(String, String)>;

/// The rows of a menu; nothing when the device does not have it.
pub(super) fn rows(kind: Kind, path: &str) -> Option<Vec<Row>> {
    let rows = match path {
        "/system/resource/print" => vec![row(RESOURCE)],
        "/system/identity/print" => vec![row("name=tower-07-s2-ap")],
        "/system/routerboard/print" => vec![row(ROUTERBOARD)],
        "/system/health/print" => vec![row("voltage=23.8 temperature=39 cpu-temperature=58")],
        "/system/package/print" => vec![
            row("name=routeros-mipsbe version=6.49.10 disabled=false"),
            row("name=wireless version=6.49.10 disabled=false"),
        ],
        "/interface/print" => interfaces(kind),
        "/interface/wireless/print" => vec![radio(kind)],
        "/interface/wireless/monitor" => vec![row(MONITOR)],
        "/interface/wireless/registration-table/print" => match kind {
            Kind::AccessPoint => (0..CLIENTS).map(client).collect(),
            Kind::Customer => vec![row(ACCESS_POINT)],
        },
        "/caps-man/interface/print" | "/caps-man/registration-table/print" => Vec::new(),
        _ => return None,
    };
    Some(rows)
}

const RESOURCE: &str = "uptime=4d15h20m38s version=6.49.10_(long-term) build-time=Oct/10/2023_12:22:04 \
free-memory=36741120 total-memory=67108864 cpu=MIPS_74Kc_V4.12 cpu-count=1 cpu-frequency=720 cpu-load=28 \
free-hdd-space=116649984 total-hdd-space=134217728 write-sect-since-reboot=1070 write-sect-total=8926 bad-blocks=0 \
architecture-name=mipsbe board-name=RB921UAGS-5SHPacT platform=MikroTik";

const ROUTERBOARD: &str = "routerboard=true model=921UAGS-5SHPacT serial-number=8A7B06C5D4E3 \
firmware-type=qca9550 current-firmware=6.49.10 upgrade-firmware=6.49.10";

const MONITOR: &str = "status=running-ap channel=5220/20-Ce/an(24dBm) wireless-protocol=802.11 noise-floor=-108 \
overall-tx-ccq=81 registered-clients=25 authenticated-clients=25";

const ACCESS_POINT: &str = ".id=*1 interface=wlan1 radio-name=4C5E0CA25451 mac-address=4C:5E:0C:A2:54:51 ap=true \
wds=false bridge=false rx-rate=117Mbps-20MHz/2S tx-rate=144.4Mbps-20MHz/2S/SGI packets=4407129,12995811 \
bytes=523248011,13417162290 frames=4407129,13036214 frame-bytes=524364120,12689012877 uptime=3d9h12m55s \
last-activity=690ms signal-strength=-65@1Mbps signal-to-noise=43 signal-strength-ch0=-70 signal-strength-ch1=-67 \
tx-signal-strength=-63 tx-ccq=96 rx-ccq=77 p-throughput=134602 distance=1 routeros-version=6.49.10 \
last-ip=192.168.100.6 802.1x-port-enabled=true authentication-type=wpa2-psk encryption=aes-ccm group-encryption=aes-ccm";

/// Words without spaces in them are told apart by spaces; an underscore stands for a space within one.
fn row(words: &str) -> Row {
    let pairs = words.split_whitespace().filter_map(|w| w.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.replace('_', " ")))
        .collect()
}

fn radio(kind: Kind) -> Row {
    let mode = match kind {
        Kind::AccessPoint => "ap-bridge",
        Kind::Customer => "station-bridge",
    };
    row(&format!(
        ".id=*8 default-name=wlan1 name=wlan1 mtu=1500 l2mtu=1600 mac-address=4C:5E:0C:A2:54:59 arp=enabled \
         interface-type=Atheros_AR9300 radio-name=4C5E0CA25459 mode={mode} ssid=tower-07-west area= \
         frequency-mode=superchannel country=etsi antenna-gain=3 frequency=5220 band=5ghz-onlyn channel-width=20/40mhz-Ce \
         scan-list=default wireless-protocol=802.11 vlan-mode=no-tag vlan-id=1 disabled=false running=true"
    ))
}

fn interfaces(kind: Kind) -> Vec<Row> {
    let ethers = match kind {
        Kind::AccessPoint => 5,
        Kind::Customer => 1,
    };
    let mut all: Vec<Row> = (1..=ethers)
        .map(|n| interface(n, "ether", &format!("ether{n}")))
        .collect();
    all.push(interface(8, "wlan", "wlan1"));
    all.push(interface(9, "bridge", "bridge1"));
    if kind == Kind::AccessPoint {
        all.push(interface(10, "vlan", "vlan100"));
    }
    all
}

fn interface(number: u32, kind: &str, name: &str) -> Row {
    row(&format!(
        ".id=*{number:X} name={name} default-name={name} type={kind} mtu=1500 actual-mtu=1500 l2mtu=1598 max-l2mtu=4074 \
         mac-address=4C:5E:0C:A2:54:{:02X} last-link-up-time=oct/06/2023_10:38:11 link-downs=1 rx-byte={} tx-byte={} \
         rx-packet=34091446 tx-packet=66407480 rx-drop=0 tx-drop=0 tx-queue-drop=1394 rx-error=0 tx-error=0 \
         fp-rx-byte=5996500782 fp-tx-byte=0 fp-rx-packet=34091446 fp-tx-packet=0 running=true disabled=false",
        0x51 + number,
        164_339_128_591_u64 + u64::from(number) * 7_919,
        43_111_406_810_u64 + u64::from(number) * 104_729,
    ))
}

/// One client: each second one is a RouterOS device and tells more.
fn client(number: usize) -> Row {
    let n = number as u64;
    let mut client = row(&format!(
        ".id=*{:X} interface=wlan1 mac-address=4C:5E:0C:57:{:02X}:{:02X} ap=false wds=false bridge=false \
         rx-rate={}Mbps-20MHz/1S tx-rate={}Mbps-40MHz/2S/SGI packets={},{} bytes={},{} frames={},{} frame-bytes={},{} \
         hw-frames=483633,22078 hw-frame-bytes=36949799,3008237 tx-frames-timed-out=0 uptime={}d9m{}s \
         last-activity={}s750ms signal-strength=-{}@6Mbps signal-to-noise={} signal-strength-ch0=-{} \
         signal-strength-ch1=-{} strength-at-rates=-66@5.5Mbps_3s450ms,-68@6Mbps_25s770ms,-68@HT20-0_27s870ms \
         tx-ccq={} p-throughput={} distance={} last-ip=192.168.88.{} 802.1x-port-enabled=true \
         authentication-type=wpa2-psk encryption=aes-ccm group-encryption=aes-ccm management-protection=false \
         wmm-enabled=true tx-rate-set=OFDM:6-54_BW:1x-2x_SGI:1x-2x_HT:0-15",
        0x1429 + n,
        n,
        0x10 + n,
        [19.5, 39.0, 58.5, 65.0][number % 4],
        [81, 108, 135, 300][number % 4],
        67_059 + n * 1_013,
        56_097 + n * 997,
        96_975_022 + n * 7_000_003,
        4_951_337 + n * 600_011,
        53_265 + n,
        50_017 + n,
        97_398_909 + n,
        4_798_506 + n,
        1 + n % 9,
        11 + n,
        n % 5,
        51 + n,
        55 - n,
        54 + n,
        57 + n,
        51 + 2 * n,
        19_940 + n * 1_777,
        1 + n % 8,
        10 + n,
    ));
    if number.is_multiple_of(2) {
        client.extend(row(&format!(
            "radio-name=4C5E0C57{n:02X}10 tx-signal-strength=-{} tx-signal-strength-ch0=-{} rx-ccq={} \
             routeros-version=6.49.10 comment=customer_{}",
            52 + n,
            55 + n,
            60 + n,
            4_000 + n
        )));
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_ingest::parse::{Known, Stamp, interface, registration};
    use mast_schemas::records::Source;

    #[test]
    fn ingest_understands_every_word() {
        for (kind, clients, ports) in [(Kind::AccessPoint, 25, 8), (Kind::Customer, 1, 3)] {
            let table = rows(kind, "/interface/wireless/registration-table/print").unwrap();
            assert_eq!(table.len(), clients);
            for row in &table {
                let parsed = registration(
                    Stamp::default(),
                    Source::Wireless,
                    &Known::default(),
                    None,
                    row,
                );
                assert_eq!(parsed.issues, []);
                let row = parsed.row.unwrap();
                assert!(row.signal_dbm.is_some() && row.tx_rate_bps.is_some());
            }
            let table = rows(kind, "/interface/print").unwrap();
            assert_eq!(table.len(), ports);
            for row in &table {
                assert_eq!(interface(Stamp::default(), row).issues, []);
            }
        }
    }
}
