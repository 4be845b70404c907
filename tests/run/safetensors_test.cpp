// SPDX-License-Identifier: Apache-2.0
#include "run/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/error.h"
#include "data/content_hash.h"
#include "run/scratch.h"

namespace ocoee::run {
namespace {

using testing::HasSubstr;
using testing_support::message_of;
using testing_support::Scratch;

std::string file_of(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + header + std::string(data_bytes, 'x');
}

std::string refusal(const std::string& bytes) {
  return message_of([&] { parse_safetensors_header(bytes, bytes.size(), "m.safetensors"); });
}

constexpr const char* kWhole =
    R"({"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[],"data_offsets":[16,18]}})";

TEST(Safetensors, WrittenIsRead) {
  const Scratch scratch;
  const std::vector<float> a{1, 2, 3, 4, 5, 6};
  const std::vector<uint16_t> b{0x3F80, 0xC000};
  const int64_t c = -5;
  const auto path = scratch / "t.safetensors";
  const uint64_t checksum = write_safetensors(path,
                                              {{"a \"quoted\"", DType::f32, {2, 3}, a.data()},
                                               {"b", DType::bf16, {2}, b.data()},
                                               {"empty", DType::f64, {0, 4}, nullptr},
                                               {"c", DType::i64, {}, &c}},
                                              {{"format", "pt"}});
  EXPECT_EQ(checksum, data::content_hash_of_file(path));
  const SafetensorsFile file(path);
  EXPECT_EQ(file.header().metadata.at("format"), "pt");
  EXPECT_EQ(file.header().data_offset % 8, 0u);
  EXPECT_EQ(file.header().tensors.size(), 4u);
  EXPECT_EQ(0, std::memcmp(file.data(file.entry("a \"quoted\"")), a.data(), 24));
  EXPECT_EQ(0, std::memcmp(file.data(file.entry("c")), &c, 8));
  EXPECT_EQ(file.entry("empty").shape, (std::vector<int64_t>{0, 4}));
  EXPECT_THAT(message_of([&] { file.entry("emty"); }), HasSubstr("the nearest is 'empty'"));
}

// tests/run/golden/make_safetensors.py wrote it with Python's safetensors.
TEST(Safetensors, ReadsTheReferenceImplementation) {
  const SafetensorsFile file(OCOEE_SOURCE_DIR "/tests/run/golden/reference.safetensors");
  const TensorEntry& x = file.entry("x");
  EXPECT_EQ(x.dtype, DType::f32);
  EXPECT_EQ(x.shape, (std::vector<int64_t>{2, 3}));
  float values[6];
  std::memcpy(values, file.data(x), sizeof values);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(values[i], 0.5f * static_cast<float>(i));
  const TensorEntry& y = file.entry("layer.y");
  EXPECT_EQ(y.dtype, DType::i64);
  int64_t scalar = 0;
  std::memcpy(&scalar, file.data(y), sizeof scalar);
  EXPECT_EQ(scalar, -7);
  EXPECT_EQ(file.entry("none").shape, (std::vector<int64_t>{0, 4}));
  EXPECT_EQ(file.header().metadata.at("made_by"), "python");
}

TEST(Safetensors, RefusesWhatIsBroken) {
  EXPECT_EQ(refusal(file_of(kWhole, 18)), "");
  EXPECT_THAT(refusal("abc"),
              HasSubstr("m.safetensors: not a whole safetensors file: shorter than"));
  EXPECT_THAT(refusal(file_of(kWhole, 18).substr(0, 60)), HasSubstr("its header claims"));
  EXPECT_THAT(refusal(std::string(8, '\xff') + "{}"), HasSubstr("above the limit"));
  EXPECT_THAT(refusal(file_of("{\"a\":", 0)), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal(file_of(kWhole, 17)), HasSubstr("tensor 'b' lies at bytes 16 to 18 of 17"));
  EXPECT_THAT(refusal(file_of(kWhole, 19)), HasSubstr("1 bytes of data belong to no tensor"));
  const auto one = [](const std::string& entry, size_t bytes) {
    return refusal(file_of("{\"a\":" + entry + "}", bytes));
  };
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[2]})", 8), HasSubstr("tensor 'a' lacks"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", 4),
              HasSubstr("tensor 'a' has 4 bytes, its shape and type need 8"));
  EXPECT_THAT(one(R"({"dtype":"F33","shape":[2],"data_offsets":[0,8]})", 8),
              HasSubstr("tensor 'a': "));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})", 8),
              HasSubstr("lies at bytes"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})", 8),
              HasSubstr("impossible shape"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]})", 0),
              HasSubstr("impossible shape"));
  EXPECT_THAT(one(R"({"dtype":"F32","shape":["2"],"data_offsets":[0,8]})", 8),
              HasSubstr("impossible shape"));
  const auto two = [](const std::string& first, const std::string& second, size_t bytes) {
    const auto entry = [](const std::string& offsets) {
      return R"({"dtype":"U8","shape":[4],"data_offsets":)" + offsets + "}";
    };
    return refusal(file_of("{\"a\":" + entry(first) + ",\"b\":" + entry(second) + "}", bytes));
  };
  EXPECT_EQ(two("[4,8]", "[0,4]", 8), "");
  EXPECT_THAT(two("[0,4]", "[2,6]", 6), HasSubstr("an overlap"));
  EXPECT_THAT(two("[0,4]", "[5,9]", 9), HasSubstr("a hole"));
  EXPECT_THAT(
      refusal(file_of(
          R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
          2)),
      HasSubstr("the name 'a' appears twice"));
  EXPECT_THAT(refusal(file_of(R"({"__metadata__":{"a":1}})", 0)), HasSubstr("not text"));
}

TEST(Safetensors, AFullDeviceIsNamed) {
  const std::vector<char> bytes(1 << 20);
  const std::string message = message_of([&] {
    write_safetensors("/dev/full", {{"a", DType::u8, {1 << 20}, bytes.data()}});
  });
  EXPECT_EQ(message, "/dev/full: cannot write: No space left on device\n    fix: free space there");
}

}  // namespace
}  // namespace ocoee::run
