// SPDX-License-Identifier: Apache-2.0
// Masters kept as their bfloat16 values and the 16 bits below.
#include "kernels/split_master.h"

#include <gtest/gtest.h>

#include "kernels/harness.h"
#include "kernels/optimizer_step.h"

namespace ocoee::kernels::test {
namespace {

uint32_t there_and_back(uint32_t bits) {
  const SplitMaster master = split(bits_as<float>(bits));
  return bits_as<uint32_t>(joined(master.value, master.rest));
}

TEST(SplitMaster, NoBitIsLost) {
  for (const uint32_t upper : {0x0000u, 0x0001u, 0x007fu, 0x0080u, 0x3f80u, 0x3f81u, 0x7f7fu})
    for (uint32_t lower = 0; lower < 0x10000u; ++lower)
      for (const uint32_t sign : {0u, 0x80000000u}) {
        const uint32_t bits = sign | upper << 16 | lower;
        ASSERT_EQ(there_and_back(bits), bits) << std::hex << bits;
      }
  for (const uint32_t infinity : {0x7f800000u, 0xff800000u})
    EXPECT_EQ(there_and_back(infinity), infinity);
}

TEST(SplitMaster, TheValueIsTheNearestAndTiesLeaveZero) {
  for (uint32_t lower = 0; lower < 0x10000u; ++lower) {
    for (const uint32_t upper : {0x3f80u, 0x3f81u, 0xbf81u}) {  // even and odd, both signs
      const float x = bits_as<float>(upper << 16 | lower);
      const uint16_t value = split(x).value.bits;
      if (lower == 0x8000u) {
        EXPECT_EQ(value, upper + 1);
      } else {
        EXPECT_EQ(value, bfloat16_from(x).bits);
      }
    }
  }
}

// A GPU's own NaN has all bits set, and must not wrap around to a number.
TEST(SplitMaster, NanStaysNan) {
  for (const uint32_t bits : {0x7fffffffu, 0xffffffffu, 0x7fc00000u, 0x7f800001u, 0xff812345u}) {
    const SplitMaster master = split(bits_as<float>(bits));
    EXPECT_NE(widen(master.value), widen(master.value));
    EXPECT_NE(joined(master.value, master.rest), joined(master.value, master.rest));
  }
}

// Three steps of one piece; the masters' bits at the end, joined where they are split.
struct Trained {
  std::vector<uint32_t> masters;
  std::vector<double> values;
};

struct Kinds {
  bool bf16_gradient, bf16_states, adam;
};

Trained train(bool is_split, const Kinds& kinds, int64_t count, int64_t shift) {
  const std::vector<double> start = rounded(DType::f32, normal_values(count, 1));
  std::vector<double> upper(start.size()), lower(start.size());
  for (size_t i = 0; i < start.size(); ++i) {
    const SplitMaster master = split(static_cast<float>(start[i]));
    upper[i] = static_cast<double>(widen(master.value));
    lower[i] = static_cast<double>(static_cast<int16_t>(master.rest.bits));
  }
  const Array masters = is_split ? Array(DType::i16, lower, shift) : Array(DType::f32, start),
              values(DType::bf16, upper, shift),
              gradient(kinds.bf16_gradient ? DType::bf16 : DType::f32, normal_values(count, 2));
  const DType of_states = kinds.bf16_states ? DType::bf16 : DType::f32;
  const std::vector<double> zeros(start.size(), 0);
  const Array m(of_states, zeros), v(of_states, zeros);
  device::Memory memory(sizeof(StepScalars) + sizeof(DecaySegment), device::Memory::Where::device,
                        test_device());
  auto* scalars = static_cast<StepScalars*>(memory.data());
  const DecaySegment decaying{0, count / 2, 0.1};
  device::copy(scalars + 1, test_device(), &decaying, {}, sizeof decaying, test_stream());
  for (int64_t update = 1; update <= 3; ++update) {
    StepScalars s;
    s.learning_rate = 1e-2, s.updates = update;
    device::copy(scalars, test_device(), &s, {}, sizeof s, test_stream());
    device::synchronize(test_stream());
    FlatPiece p;
    p.count = count, p.master = masters.data(), p.gradient = gradient.data();
    p.value = values.data(), p.scalars = scalars;
    p.segments = reinterpret_cast<const DecaySegment*>(scalars + 1), p.segment_count = 1;
    p.bf16_gradient = kinds.bf16_gradient, p.bf16_states = kinds.bf16_states;
    p.split_masters = is_split;
    if (kinds.adam) {
      adamw({p, m.data(), v.data()}, test_stream());
    } else {
      sgd({p, v.data()}, test_stream());
    }
  }
  Trained out{{}, values.read()};
  const std::vector<double> kept = masters.read();
  for (size_t i = 0; i < kept.size(); ++i) {
    const LowerHalf rest{static_cast<uint16_t>(static_cast<int16_t>(is_split ? kept[i] : 0))};
    const float master = is_split ? joined(bfloat16_from(static_cast<float>(out.values[i])), rest)
                                  : static_cast<float>(kept[i]);
    out.masters.push_back(bits_as<uint32_t>(master));
  }
  return out;
}

TEST(SplitMaster, UpdatesHaveTheBitsOfWholeMasters) {
  for (const Kinds& kinds :
       {Kinds{false, false, true}, Kinds{false, true, true}, Kinds{true, false, true},
        Kinds{true, true, true}, Kinds{false, false, false}, Kinds{true, true, false}}) {
    for (const int64_t count : {1, 7, 64, 6007}) {
      for (const int64_t shift : {0, 1, 4}) {
        const Trained whole = train(false, kinds, count, shift),
                      parts = train(true, kinds, count, shift);
        EXPECT_EQ(parts.masters, whole.masters) << count << " elements, " << shift;
        for (size_t i = 0; i < whole.values.size(); ++i) {
          if ((whole.masters[i] & 0xffffu) != 0x8000u) {
            ASSERT_EQ(parts.values[i], whole.values[i]);
          }
        }
        expect_same_bits([&] {
          const std::vector<uint32_t> words = train(true, kinds, count, shift).masters;
          const auto* bytes = reinterpret_cast<const unsigned char*>(words.data());
          return std::vector<unsigned char>(bytes, bytes + 4 * words.size());
        });
      }
    }
  }
}

}  // namespace
}  // namespace ocoee::kernels::test
