// SPDX-License-Identifier: Apache-2.0
#include "run/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "run/checkpoint_parts.h"
#include "run/checkpoint_plan.h"
#include "run/scratch.h"

namespace ocoee::run {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing_support::message_of;

Manifest sample() {
  Manifest m;
  m.step = 12;
  m.values = {{"step", 12}, {"best", 1.5}};
  m.metric = 1.25;
  m.seconds = 3.5;
  m.program = "0.1.0";
  m.recipe = "00ff";
  m.files = {{"rank-00000.safetensors", 100, 0xABCDEF0123456789ull},
             {"rank-00001.safetensors", 50, 1}};
  m.arrays = {{"w",
               {4, 3},
               DType::f32,
               {{{{0, 0}, {2, 3}}, "rank-00000.safetensors", "w@0_0"},
                {{{2, 0}, {2, 3}}, "rank-00001.safetensors", "w@2_0"}}},
              {"s", {}, DType::i64, {{{{}, {}}, "rank-00000.safetensors", "s"}}},
              {"none", {0, 7}, DType::f64, {}}};
  return m;
}

// What is said when one value of the sample's JSON is changed.
std::string refusal(const std::function<void(json&)>& change) {
  json text = json::parse(to_text(sample()));
  change(text);
  return message_of([&] { parse_manifest(text.dump(), "manifest.json"); });
}

TEST(Manifest, WrittenIsRead) {
  const Manifest m = parse_manifest(to_text(sample()), "manifest.json");
  EXPECT_EQ(to_text(m), to_text(sample()));
  EXPECT_EQ(m.files[0].checksum, 0xABCDEF0123456789ull);
  EXPECT_EQ(m.arrays[0].pieces[1].box, (Box{{2, 0}, {2, 3}}));
  Manifest without = sample();
  without.metric = std::nan("");
  EXPECT_TRUE(std::isnan(parse_manifest(to_text(without), "m").metric));
}

TEST(Manifest, EveryTruncationIsRefused) {
  const std::string text = to_text(sample());
  for (size_t bytes = 0; bytes + 2 < text.size(); ++bytes)
    EXPECT_THROW(parse_manifest(text.substr(0, bytes), "m"), Error) << bytes;
}

TEST(Manifest, RefusesWhatIsBroken) {
  EXPECT_EQ(refusal([](json&) {}), "");
  EXPECT_EQ(message_of([] { parse_manifest("{", "a/manifest.json"); }),
            "a/manifest.json: not a whole manifest: it is no JSON object, or is cut short");
  EXPECT_THAT(refusal([](json& j) { j["version"] = 2; }), HasSubstr("its version is 2"));
  EXPECT_THAT(refusal([](json& j) { j.erase("step"); }), HasSubstr("'step' is missing"));
  EXPECT_THAT(refusal([](json& j) { j["step"] = -1; }), HasSubstr("'step' is not a whole number"));
  EXPECT_THAT(refusal([](json& j) { j["step"] = uint64_t{1} << 63; }), HasSubstr("impossible"));
  EXPECT_THAT(refusal([](json& j) { j["files"]["../x"] = j["files"]["rank-00000.safetensors"]; }),
              HasSubstr("leaves the folder"));
  EXPECT_THAT(refusal([](json& j) { j["files"]["rank-00000.safetensors"]["checksum"] = "0x12"; }),
              HasSubstr("not 16 hexadecimal digits"));
  EXPECT_THAT(refusal([](json& j) { j["files"].erase("rank-00001.safetensors"); }),
              HasSubstr("'w' lies in the unlisted file rank-00001.safetensors"));
  EXPECT_THAT(refusal([](json& j) { j["arrays"][0]["dtype"] = "F31"; }), HasSubstr("'w': "));
  EXPECT_THAT(refusal([](json& j) { j["arrays"][1]["name"] = "w"; }), HasSubstr("stands twice"));
  const auto box = [](json& j) -> json& { return j["arrays"][0]["pieces"][1]; };
  EXPECT_THAT(refusal([&](json& j) {
                box(j)["offset"] = {1, 0};
              }),
              HasSubstr("two boxes of 'w' overlap"));
  EXPECT_THAT(refusal([&](json& j) { box(j)["offset"] = {3, 0}; }), HasSubstr("sticks out"));
  EXPECT_THAT(refusal([&](json& j) { box(j)["size"] = {1, 3}; }), HasSubstr("do not cover it"));
  EXPECT_THAT(refusal([&](json& j) { box(j)["size"] = {2}; }), HasSubstr("other dimensions"));
  EXPECT_THAT(refusal([&](json& j) { box(j)["size"] = {2, -3}; }), HasSubstr("impossible number"));
  EXPECT_THAT(refusal([](json& j) {
                j["arrays"][0]["shape"] = {int64_t{1} << 40, int64_t{1} << 40};
              }),
              HasSubstr("impossible shape"));
}

StateArray array_of(const std::string& name, std::vector<int64_t> shape, std::vector<Box> boxes) {
  StateArray array{name, std::move(shape), DType::f32, {}};
  for (Box& box : boxes) array.pieces.push_back({std::move(box), nullptr, nullptr});
  return array;
}

TEST(WritePlan, ReplicatedBoxesAreWrittenOnceAndSpread) {
  std::vector<std::string> holdings;
  for (int rank = 0; rank < 4; ++rank) {
    State state;
    for (int i = 0; i < 8; ++i)
      state.arrays.push_back(array_of("same." + std::to_string(i), {100}, {{{0}, {100}}}));
    holdings.push_back(holdings_text(state));
  }
  const WritePlan plan = make_write_plan(holdings);
  for (int rank = 0; rank < 4; ++rank)
    EXPECT_EQ(plan.of_rank[static_cast<size_t>(rank)].size(), 2u);
  for (const ManifestArray& array : plan.arrays) EXPECT_EQ(array.pieces.size(), 1u);
}

TEST(WritePlan, StagesHoldDifferentArrays) {
  State first, second;
  first.arrays = {array_of("a", {4, 4}, {{{0, 0}, {2, 4}}}), array_of("tied", {2}, {{{0}, {2}}})};
  second.arrays = {array_of("b", {3}, {{{0}, {3}}}), array_of("tied", {2}, {{{0}, {2}}}),
                   array_of("a", {4, 4}, {{{2, 0}, {1, 4}}, {{3, 0}, {1, 4}}})};
  const WritePlan plan = make_write_plan({holdings_text(first), holdings_text(second)});
  ASSERT_EQ(plan.arrays.size(), 3u);
  EXPECT_EQ(plan.arrays[0].pieces.size(), 3u);
  EXPECT_EQ(plan.arrays[0].pieces[1].key, "a@2_0");
  EXPECT_EQ(plan.arrays[0].pieces[1].file, "rank-00001.safetensors");
  EXPECT_EQ(plan.arrays[1].pieces[0].key, "tied");
}

TEST(WritePlan, HolesOverlapsAndDisagreementAreBugs) {
  State half, other_type;
  half.arrays = {array_of("a", {4}, {{{0}, {2}}})};
  EXPECT_THAT(message_of([&] { make_write_plan({holdings_text(half)}); }),
              HasSubstr("the boxes of 'a' do not cover it"));
  other_type.arrays = {array_of("a", {4}, {{{2}, {2}}})};
  other_type.arrays[0].dtype = DType::f64;
  EXPECT_THAT(message_of([&] {
                make_write_plan({holdings_text(half), holdings_text(other_type)});
              }),
              HasSubstr("another shape or type"));
}

// 1,024 ranks, a grid of 32 x 32 boxes: quadratic work would show.
TEST(WritePlan, LargeGridsAreChecked) {
  std::vector<std::string> holdings;
  for (int64_t rank = 0; rank < 1024; ++rank) {
    State state;
    state.arrays = {array_of("w", {320, 64}, {{{rank / 32 * 10, rank % 32 * 2}, {10, 2}}})};
    holdings.push_back(holdings_text(state));
  }
  EXPECT_EQ(make_write_plan(holdings).arrays[0].pieces.size(), 1024u);
}

}  // namespace
}  // namespace ocoee::run
