// SPDX-License-Identifier: Apache-2.0
#include "plan/machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <concepts>

#include "core/error.h"
#include "plan/collective.h"

namespace ocoee::plan {
namespace {

template <class A, class B>
concept Addable = requires(A a, B b) {
  a + b;
};
static_assert(Addable<Bytes, Bytes>);
static_assert(!Addable<Bytes, Seconds>);
static_assert(!Addable<Bytes, double>);
static_assert(!std::convertible_to<double, Seconds>);
static_assert(std::same_as<decltype(Bytes(1) / BytesPerSecond(1)), Seconds>);
static_assert(std::same_as<decltype(Flops(1) / Seconds(1)), FlopsPerSecond>);
static_assert(std::same_as<decltype(Watts(1) * Seconds(1)), Joules>);

TEST(Machine, EveryBuiltinProfileIsReadable) {
  ASSERT_GE(builtin_machines().size(), 5u);
  for (const BuiltinMachine& builtin : builtin_machines()) {
    const Machine machine = load_machine(builtin.name);
    EXPECT_GT(machine.device.memory.value, 1e10) << builtin.name;
    EXPECT_GT(machine.device.peak("bfloat16").value, 1e14) << builtin.name;
    EXPECT_GE(machine.node.devices, 1) << builtin.name;
  }
}

TEST(Machine, CurvesRunThroughTheirPointsAndStayLevelBeyond) {
  const Curve curve{{1e6, 1e8}, {0.2, 0.8}};
  EXPECT_DOUBLE_EQ(curve(1), 0.2);
  EXPECT_DOUBLE_EQ(curve(1e6), 0.2);
  EXPECT_NEAR(curve(1e7), 0.5, 1e-12);
  EXPECT_DOUBLE_EQ(curve(1e12), 0.8);
  EXPECT_DOUBLE_EQ(Curve{}(5), 1);
}

TEST(Machine, DevicesAreKnownByTheirNames) {
  EXPECT_EQ(machine_of_device("NVIDIA H200"), "h200");
  EXPECT_EQ(machine_of_device("NVIDIA H100 80GB HBM3"), "h100");
  EXPECT_EQ(machine_of_device("NVIDIA A100-SXM4-80GB"), "a100");
  EXPECT_EQ(machine_of_device("A graphics card"), "");
}

void expect_error(const std::string& toml, const std::string& part) {
  try {
    parse_machine(toml, "mine.toml");
    FAIL() << "nothing thrown for " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Machine, MistakesOfAProfileAreToldWithTheirLine) {
  const std::string device =
      "version = 1\n[machine]\nname = \"x\"\n[device]\nname = \"d\"\nmemory = 1e9\nbandwidth = "
      "1e9\nfloat32 = 1e9\n";
  expect_error(device + "bandwith = 1\n[node]\ndevices = 1\n",
               "mine.toml:9:12: device.bandwith: unknown key\n    fix: did you mean "
               "'device.bandwidth'?");
  expect_error(device + "product_at = [1e3, 1e2]\nproduct_share = [0.5]\n[node]\ndevices = 1\n",
               "device.product_share: 1 shares for 2 sizes");
  expect_error(device + "fixed_norm = [1e-6]\n[node]\ndevices = 1\n",
               "device.fixed_norm: 1 numbers, where two are expected");
  expect_error(device, "node.devices");
  expect_error(device + "[node]\ndevices = 8\n[package]\ndevices = 3\n",
               "3 devices of a package do not divide the 8 of a node");
  expect_error(device + "[node]\ndevices = 8\n",
               "node.bandwidth: 8 devices are joined, and it is not stated how fast");
  EXPECT_THROW(load_machine("fronteer"), Error);
}

TEST(Machine, WhatAProfileLeavesOutIsNamedWhereAPlanUsesIt) {
  using Keys = std::vector<std::string>;
  for (const BuiltinMachine& builtin : builtin_machines()) {
    const Machine machine = load_machine(builtin.name);
    const int64_t most = std::max(machine.node.devices, machine.network.devices);
    EXPECT_EQ(machine.taken_as_ideal(most), Keys{}) << builtin.name;
  }
  Machine machine = load_machine("frontier");
  machine.network.efficiency = {};
  machine.network.latency = Seconds(0);
  EXPECT_EQ(machine.taken_as_ideal(8), Keys{});
  EXPECT_EQ(machine.taken_as_ideal(16), (Keys{"network.efficiency_share", "network.latency"}));
  machine.device.product = {};
  EXPECT_EQ(machine.taken_as_ideal(1), Keys{"device.product_share"});
}

TEST(Machine, FewTokensHaveProductsOfTheirOwn) {
  Device device;
  device.product = {{1e9}, {0.8}};
  EXPECT_DOUBLE_EQ(device.product_share(1e9, 16), 0.8);
  device.few_tokens = 1024;
  device.product_few = {{1e9}, {0.4}};
  EXPECT_DOUBLE_EQ(device.product_share(1e9, 16), 0.4);
  EXPECT_DOUBLE_EQ(device.product_share(1e9, 1024), 0.4);
  EXPECT_NEAR(device.product_share(1e9, 1024 * std::sqrt(2)), 0.6, 1e-12);
  EXPECT_DOUBLE_EQ(device.product_share(1e9, 2048), 0.8);
}

TEST(Collective, EachKindHasItsOwnCurveAndACall) {
  Machine machine;
  machine.node.devices = 2;
  machine.node.bandwidth = BytesPerSecond(1e9);
  machine.node.latency = Seconds(1e-6);
  machine.node.call = Seconds(1e-5);
  machine.node.message_latency = Seconds(3e-5);
  machine.node.efficiency = {{1}, {1}};
  const Network as_all_reduce(machine);
  EXPECT_NEAR(as_all_reduce.all_gather({2, 1}, Bytes(2e9)).value, 1 + 1.1e-5, 1e-12);
  machine.node.gather_efficiency = {{1}, {0.5}};
  machine.node.message_efficiency = {{1}, {0.25}};
  const Network network(machine);
  EXPECT_NEAR(network.all_reduce({2, 1}, Bytes(1e9)).value, 1 + 1.2e-5, 1e-12);
  EXPECT_NEAR(network.all_gather({2, 1}, Bytes(1e9)).value, 1 + 1.1e-5, 1e-12);
  EXPECT_NEAR(network.message(1, Bytes(1e9)).value, 4 + 3e-5, 1e-12);
}

TEST(Collective, FormsOfRingAndTree) {
  Machine machine;
  machine.node.devices = 8;
  machine.node.bandwidth = BytesPerSecond(1e9);
  machine.node.latency = Seconds(1e-6);
  machine.network.devices = 64;
  machine.network.bandwidth = BytesPerSecond(1e8);
  machine.network.latency = Seconds(1e-5);
  const Network network(machine);
  // 8 ranks of one node, 1 GB: 7/8 s and seven hops.
  EXPECT_NEAR(network.reduce_scatter({8, 1}, Bytes(1e9)).value, 0.875 + 7e-6, 1e-12);
  EXPECT_NEAR(network.all_reduce({8, 1}, Bytes(1e9)).value, 1.75 + 14e-6, 1e-12);
  // A tiny message: the tree's 2 log2(n) hops beat the ring's 2 (n - 1).
  EXPECT_LT(network.all_reduce({8, 1}, Bytes(1)).value, 14e-6);
  // Between nodes with one rank each: a share of one port. With eight each: eight shares.
  EXPECT_NEAR(network.all_gather({2, 8}, Bytes(1e9)).value, 5, 1e-3);
  EXPECT_LT(network.all_gather({16, 1}, Bytes(1e9)).value, 2);
  EXPECT_EQ(network.all_reduce({1, 1}, Bytes(1e9)).value, 0);
  EXPECT_GT(network.message(8, Bytes(1e9)).value, network.message(1, Bytes(1e9)).value);
}

// One node of the cluster: what is known better of one is known of the other.
TEST(Machine, AnH100NodeIsThatOfTheClusterWithoutItsNetwork) {
  const auto text = [](const std::string& name) {
    for (const BuiltinMachine& machine : builtin_machines()) {
      if (machine.name == name) return machine.toml.substr(machine.toml.find("\n[device]"));
    }
    return std::string();
  };
  std::string cluster = text("dgx-h100");
  const size_t network = cluster.find("\n[network]");
  ASSERT_NE(network, std::string::npos);
  cluster.erase(network, cluster.find("\n\n", network) + 1 - network);
  EXPECT_EQ(text("h100"), cluster);
}

}  // namespace
}  // namespace ocoee::plan
