//! Boards and versions of the fleet, and the decks that they are dealt from.

use super::model::{Board, Stack, Version};

pub(super) static CORE: Board = Board {
    name: "CCR2004-16G-2S+",
    model: "CCR2004-16G-2S+",
    architecture: "arm64",
    cpu: "ARM64",
    cores: 4,
    mhz: 1700,
    memory_mib: 4096,
    disk_mib: 128,
    firmware: "al64",
    has_sensors: true,
    ethers: 5,
};
pub(super) static EDGE: Board = Board {
    name: "RB4011iGS+",
    model: "RB4011iGS+",
    architecture: "arm",
    cpu: "ARMv7",
    cores: 4,
    mhz: 1400,
    memory_mib: 1024,
    disk_mib: 512,
    firmware: "al2",
    has_sensors: true,
    ethers: 5,
};
static NETMETAL: Board = Board {
    name: "NetMetal 5",
    model: "RB922UAGS-5HPacD",
    architecture: "mipsbe",
    cpu: "MIPS 74Kc V5.0",
    cores: 1,
    mhz: 720,
    memory_mib: 128,
    disk_mib: 128,
    firmware: "qca9550",
    has_sensors: true,
    ethers: 1,
};
static MANTBOX: Board = Board {
    name: "mANTBox 19s",
    model: "RB921GS-5HPacD r2",
    architecture: "mipsbe",
    cpu: "MIPS 74Kc V5.0",
    cores: 1,
    mhz: 720,
    memory_mib: 128,
    disk_mib: 128,
    firmware: "qca9550L",
    has_sensors: true,
    ethers: 1,
};
static NETMETAL_AX: Board = Board {
    name: "NetMetal ax",
    model: "L11UG-5HaxD",
    architecture: "arm64",
    cpu: "ARM64",
    cores: 2,
    mhz: 864,
    memory_mib: 256,
    disk_mib: 128,
    firmware: "ipq5000",
    has_sensors: true,
    ethers: 1,
};
pub(super) static WAP_AC: Board = Board {
    name: "hAP ac^3",
    model: "RBD53iG-5HacD2HnD",
    architecture: "arm",
    cpu: "ARMv7",
    cores: 4,
    mhz: 716,
    memory_mib: 256,
    disk_mib: 128,
    firmware: "ipq4000",
    has_sensors: true,
    ethers: 5,
};
static SXTSQ: Board = Board {
    name: "SXTsq 5 ac",
    model: "RBSXTsqG-5acD",
    architecture: "arm",
    cpu: "ARMv7",
    cores: 4,
    mhz: 716,
    memory_mib: 256,
    disk_mib: 16,
    firmware: "ipq4000L",
    has_sensors: true,
    ethers: 1,
};
static LHG: Board = Board {
    name: "LHG 5",
    model: "RBLHG-5nD",
    architecture: "mipsbe",
    cpu: "MIPS 74Kc V5.0",
    cores: 1,
    mhz: 600,
    memory_mib: 64,
    disk_mib: 16,
    firmware: "qca9531L",
    has_sensors: false,
    ethers: 1,
};
static LHG_AX: Board = Board {
    name: "LHG 5 ax",
    model: "LHGGM-5axD",
    architecture: "arm64",
    cpu: "ARM64",
    cores: 2,
    mhz: 864,
    memory_mib: 256,
    disk_mib: 128,
    firmware: "ipq5000",
    has_sensors: true,
    ethers: 1,
};
pub(super) static WIRE: Board = Board {
    name: "wAP 60G AP",
    model: "RBwAPG-60ad",
    architecture: "arm",
    cpu: "ARMv7",
    cores: 4,
    mhz: 716,
    memory_mib: 256,
    disk_mib: 16,
    firmware: "ipq4000L",
    has_sensors: true,
    ethers: 1,
};

pub(super) const V6: Version = Version::new(6, 49, 10, "long-term");
const V6_MID: Version = Version::new(6, 44, 5, "long-term");
const V6_OLD: Version = Version::new(6, 42, 12, "long-term");
const V7_WAVE2: Version = Version::new(7, 12, 1, "stable");
pub(super) const V7_13: Version = Version::new(7, 16, 2, "stable");
pub(super) const V7_18: Version = Version::new(7, 18, 2, "stable");
const V7_NEW: Version = Version::new(7, 20, 4, "stable");

pub(super) type Kind = (Stack, Version, &'static Board);

pub(super) static AP_DECK: [Kind; 10] = [
    (Stack::Wireless, V6, &NETMETAL),
    (Stack::Wifi, V7_18, &NETMETAL_AX),
    (Stack::Wireless, V6_MID, &MANTBOX),
    (Stack::Wifi, V7_13, &NETMETAL_AX),
    (Stack::Wireless, V6_OLD, &MANTBOX),
    (Stack::Wifiwave2, V7_WAVE2, &WAP_AC),
    (Stack::Wireless, V7_18, &NETMETAL),
    (Stack::Wireless, V6, &MANTBOX),
    (Stack::Wifi, V7_NEW, &NETMETAL_AX),
    (Stack::Wireless, V7_13, &NETMETAL),
];

pub(super) static CPE_DECK: [Kind; 10] = [
    (Stack::Wireless, V6, &LHG),
    (Stack::Wireless, V6, &SXTSQ),
    (Stack::Wifi, V7_18, &LHG_AX),
    (Stack::Wireless, V6_MID, &LHG),
    (Stack::Wireless, V7_18, &SXTSQ),
    (Stack::Wifi, V7_13, &LHG_AX),
    (Stack::Wireless, V6_OLD, &LHG),
    (Stack::Wireless, V7_13, &SXTSQ),
    (Stack::Wifiwave2, V7_WAVE2, &WAP_AC),
    (Stack::Wifi, V7_NEW, &LHG_AX),
];
