// SPDX-License-Identifier: Apache-2.0
// What calibration makes of ranks on one host and on several.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/calibrate.h"
#include "core/error.h"
#include "plan/machine.h"

namespace ocoee::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(CalibrateProfile, RanksAreGroupedByHost) {
  const auto expect = [](const std::vector<std::string>& names, int count, int ranks) {
    const Hosts hosts = hosts_of(names);
    EXPECT_EQ(hosts.count, count) << testing::PrintToString(names);
    EXPECT_EQ(hosts.ranks, ranks) << testing::PrintToString(names);
  };
  expect({"a"}, 1, 1);
  expect({"a", "a", "a"}, 1, 3);
  expect({"a", "b"}, 2, 1);
  expect({"a", "a", "b", "b", "c", "c"}, 3, 2);
  for (const std::vector<std::string>& names : {std::vector<std::string>{"a", "a", "b"},
                                                {"a", "b", "b"},
                                                {"a", "b", "a", "b"},
                                                {"a", "a", "b", "c"},
                                                {"a", "a", "b", "b", "a", "a"}}) {
    EXPECT_THROW(hosts_of(names), Error) << testing::PrintToString(names);
  }
}

// Messages of a group at so many bytes a second, with a microsecond each.
LinkFigures links(int ranks, double bandwidth) {
  LinkFigures figures;
  figures.ranks = ranks;
  const double n = ranks;
  for (const double bytes : {16.0, 1e5, 1e6, 1e7}) {
    const double pass = (n - 1) / n * bytes / bandwidth;
    figures.all_reduces.push_back({bytes, 2 * ((n - 1) * 1e-6 + pass)});
    figures.gathers.push_back({bytes, (n - 1) * 1e-6 + pass});
    figures.messages.push_back({bytes, 1e-6 + bytes / bandwidth});
  }
  return figures;
}

std::string profile(const Links& measured) {
  DeviceFigures device;
  device.memory = 1e9, device.launch = 1e-6;
  device.products["float32"] = {{1e6, 1e-5}, {1e8, 3e-4}};
  device.streams = {{1e5, 1e-5}, {1e6, 5e-5}};
  return profile_text("here", "note", device, measured, {2e9, 1e9, 0}, "a CPU");
}

TEST(CalibrateProfile, OneHostHasANodeAndNoNetwork) {
  Links measured;
  measured.hosts = {1, 4};
  measured.node = links(4, 1e10);
  const std::string text = profile(measured);
  EXPECT_THAT(text, HasSubstr("# Measured by `ocoee calibrate` with 4 ranks.\n"));
  EXPECT_THAT(text, HasSubstr("[network]\ndevices = 4\nbandwidth = 1e9  # not measured\n"));
  const plan::Machine machine = plan::parse_machine(text, "here");
  EXPECT_EQ(machine.node.devices, 4);
  EXPECT_NEAR(machine.node.bandwidth.value / 1e10, 1, 0.05);
}

TEST(CalibrateProfile, SeveralHostsHaveANodeAndANetworkEachAsMeasured) {
  Links measured;
  measured.hosts = {3, 4};
  measured.node = links(4, 1e10);
  measured.network = links(3, 1e8);
  const std::string text = profile(measured);
  EXPECT_THAT(text, HasSubstr("with 12 ranks on 3 hosts.\n"));
  EXPECT_THAT(text, Not(HasSubstr("not measured")));
  const plan::Machine machine = plan::parse_machine(text, "here");
  EXPECT_EQ(machine.node.devices, 4);
  EXPECT_EQ(machine.network.devices, 12);
  EXPECT_NEAR(machine.node.bandwidth.value / 1e10, 1, 0.05);
  EXPECT_NEAR(machine.network.bandwidth.value / 1e8, 1, 0.05);
  EXPECT_GT(machine.network.efficiency.at.size(), 2u);
}

TEST(CalibrateProfile, OneRankAHostHasANetworkAlone) {
  Links measured;
  measured.hosts = {2, 1};
  measured.network = links(2, 1e8);
  const plan::Machine machine = plan::parse_machine(profile(measured), "here");
  EXPECT_EQ(machine.node.devices, 1);
  EXPECT_EQ(machine.network.devices, 2);
  EXPECT_NEAR(machine.network.bandwidth.value / 1e8, 1, 0.05);
}

// Rates of caches are shares of the fastest, and of a profile without them nothing is said.
TEST(CalibrateProfile, CachesAreACurveOverWhatLiesBetweenTwoUses) {
  DeviceFigures device;
  device.memory = 1e9, device.launch = 1e-6;
  device.products["float32"] = {{1e6, 1e-5}, {1e8, 3e-4}};
  device.streams = {{1e5, 1e-5}, {1e6, 5e-5}};
  Links alone;
  alone.hosts = {1, 1};
  const auto parsed = [&] {
    return plan::parse_machine(profile_text("here", "", device, alone, {2e9, 1e9, 0}, "a CPU"),
                               "here")
        .device;
  };
  EXPECT_TRUE(parsed().reuse.at.empty());
  device.reuse = {{1e6, 5e-6, 5e5}, {1e8, 5e-5, 5e5}};
  EXPECT_DOUBLE_EQ(parsed().bandwidth.value, 1e11);
  EXPECT_DOUBLE_EQ(parsed().bandwidth.value * parsed().reuse(1e6), 1e11);
  EXPECT_DOUBLE_EQ(parsed().bandwidth.value * parsed().reuse(1e8), 1e10);
  EXPECT_DOUBLE_EQ(parsed().bandwidth.value * parsed().stream(1e6), 2e10);
  EXPECT_DOUBLE_EQ(seconds_a_byte(device.reuse, 0), 1e-11);
  EXPECT_DOUBLE_EQ(seconds_a_byte(device.reuse, 1e8), 1e-10);
  EXPECT_EQ(seconds_a_byte({}, 1e8), 0);
}

}  // namespace
}  // namespace ocoee::cli
