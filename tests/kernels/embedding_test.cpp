// SPDX-License-Identifier: Apache-2.0
#include "kernels/embedding.h"

#include <gtest/gtest.h>

#include "kernels/harness.h"

namespace ocoee::kernels::test {
namespace {

struct Case {
  DType dtype;
  int64_t batch, length, width, vocabulary;
  uint64_t distinct;  // ids are drawn from so many tokens: few make long runs
  int64_t first_position = 2;
  int64_t positions() const { return length + 3; }
  int64_t rows() const { return batch * length; }
};

std::vector<double> ids_of(const Case& c) {
  RandomStream random(5, Purpose::noise, 0, 0);
  std::vector<double> ids;
  for (int64_t i = 0; i < c.rows(); ++i)
    ids.push_back(static_cast<double>(random.below(c.distinct)));
  return ids;
}

void check_forward(const Case& c) {
  SCOPED_TRACE(label(c.dtype) + " width " + std::to_string(c.width));
  const auto token = rounded(c.dtype, normal_values(c.vocabulary * c.width, 1)),
             position = rounded(c.dtype, normal_values(c.positions() * c.width, 2));
  const auto ids = ids_of(c);
  const Array ids_array(DType::i64, ids), token_array(c.dtype, token),
      position_array(c.dtype, position), y(c.dtype, c.rows() * c.width);
  embedding_forward({c.dtype, c.batch, c.length, c.width, c.vocabulary, c.first_position,
                     ids_array.as<int64_t>(), token_array.data(), position_array.data(), y.data()},
                    test_stream());
  std::vector<double> want;
  for (int64_t row = 0; row < c.rows(); ++row)
    for (int64_t i = 0; i < c.width; ++i)
      want.push_back(
          token[static_cast<size_t>(static_cast<int64_t>(ids[static_cast<size_t>(row)]) * c.width +
                                    i)] +
          position[static_cast<size_t>((c.first_position + row % c.length) * c.width + i)]);
  EXPECT_EQ(y.read(), rounded(c.dtype, want));
}

struct Gradients {
  std::vector<double> token, position;
  std::vector<unsigned char> bits;
};

Gradients run_backward(const Case& c, const std::vector<double>& ids, const std::vector<double>& dy,
                       bool bf16_gradients = false) {
  const DType wide = bf16_gradients ? DType::bf16 : wide_dtype(c.dtype);
  const Array ids_array(DType::i64, ids), dy_array(c.dtype, dy);
  const Array d_token(wide, std::vector<double>(static_cast<size_t>(c.vocabulary * c.width), 1.0));
  const Array d_position(wide,
                         std::vector<double>(static_cast<size_t>(c.positions() * c.width), 1.0));
  EmbeddingBackward a{c.dtype,
                      c.batch,
                      c.length,
                      c.width,
                      c.vocabulary,
                      c.first_position,
                      ids_array.as<int64_t>(),
                      dy_array.data(),
                      d_token.data(),
                      d_position.data()};
  a.bf16_gradients = bf16_gradients;
  const Array space = workspace(embedding_backward_workspace(a, test_device()));
  a.workspace = space.data();
  embedding_backward(a, test_stream());
  Gradients g{d_token.read(), d_position.read(), d_token.bits()};
  const auto bits = d_position.bits();
  g.bits.insert(g.bits.end(), bits.begin(), bits.end());
  return g;
}

void check_backward(const Case& c) {
  SCOPED_TRACE(label(c.dtype) + " rows " + std::to_string(c.rows()) + " width " +
               std::to_string(c.width) + " distinct " + std::to_string(c.distinct));
  const auto ids = ids_of(c), dy = rounded(c.dtype, normal_values(c.rows() * c.width, 3));
  std::vector<double> token(static_cast<size_t>(c.vocabulary * c.width), 1.0),
      position(static_cast<size_t>(c.positions() * c.width), 1.0);
  for (int64_t row = 0; row < c.rows(); ++row) {
    for (int64_t i = 0; i < c.width; ++i) {
      const double d = dy[static_cast<size_t>(row * c.width + i)];
      token[static_cast<size_t>(static_cast<int64_t>(ids[static_cast<size_t>(row)]) * c.width +
                                i)] += d;
      position[static_cast<size_t>((c.first_position + row % c.length) * c.width + i)] += d;
    }
  }
  const Gradients got = run_backward(c, ids, dy);
  const double limit = c.dtype == DType::f64 ? 1e-13 : 3e-6;
  EXPECT_NEAR_ARRAY(got.token, token, limit);
  EXPECT_NEAR_ARRAY(got.position, position, limit);
  // In bf16 each sum is rounded once, however long it is: half a unit in the last place.
  const Gradients narrow = run_backward(c, ids, dy, true);
  for (size_t i = 0; i < token.size(); ++i)
    ASSERT_NEAR(narrow.token[i], token[i], 0.00391 * std::abs(token[i]) + 1e-5) << i;
  for (size_t i = 0; i < position.size(); ++i)
    ASSERT_NEAR(narrow.position[i], position[i], 0.00391 * std::abs(position[i]) + 1e-5) << i;
}

TEST(Embedding, ForwardEveryTypeAndShape) {
  for (const DType dtype : kFloatTypes) {
    check_forward({dtype, 1, 1, 1, 3, 3});
    check_forward({dtype, 3, 5, 7, 11, 11});
    check_forward({dtype, 4, 16, 128, 67, 67});
    check_forward({dtype, 2, 3, 1600, 9, 9});
  }
}

TEST(Embedding, BackwardEveryTypeAndShape) {
  for (const DType dtype : kFloatTypes) {
    check_backward({dtype, 1, 1, 1, 3, 3});
    check_backward({dtype, 3, 5, 7, 11, 11});
    check_backward({dtype, 4, 64, 128, 67, 67});
    check_backward({dtype, 8, 64, 40, 1000, 1});  // one token everywhere: a run over all pieces
    check_backward({dtype, 5, 61, 33, 1000, 2});
    check_backward({dtype, 2, 40, 1600, 5000, 5000});
    check_backward({dtype, 2, 32, 16, 4, 4});  // a count that the pieces divide
  }
}

TEST(Embedding, UnknownIdsShowAndDoNotWrite) {
  const Case c{DType::f32, 1, 4, 8, 10, 10, 0};
  const std::vector<double> ids = {3, 10, -1, 9};
  const Array ids_array(DType::i64, ids), token(DType::f32, normal_values(80, 1)),
      y(DType::f32, 32);
  embedding_forward(
      {c.dtype, 1, 4, 8, 10, 0, ids_array.as<int64_t>(), token.data(), nullptr, y.data()},
      test_stream());
  const auto got = y.read();
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(i / 8 == 1 || i / 8 == 2, std::isnan(got[i])) << i;
  const Gradients g = run_backward(c, ids, std::vector<double>(32, 1.0));
  for (size_t i = 0; i < 80; ++i) EXPECT_EQ(i / 8 == 3 || i / 8 == 9 ? 2.0 : 1.0, g.token[i]);
}

// A vocabulary over two ranks: each has rows of zero for the other's ids, so their sum is the
// whole's; an id of nobody shows on both.
TEST(Embedding, PartsOfAVocabularyAddUp) {
  const int64_t width = 8, half = 5;
  const std::vector<double> ids = {3, 9, 10, 0, 5};
  const auto table = normal_values(2 * half * width, 1), dy = normal_values(5 * width, 2);
  const Array ids_array(DType::i64, ids);
  std::vector<double> sum(ids.size() * 8), gradient;
  for (const int64_t first : {int64_t{0}, half}) {
    const Array token(DType::f64, std::vector<double>(table.begin() + first * width,
                                                      table.begin() + (first + half) * width)),
        y(DType::f64, 5 * width), dy_array(DType::f64, dy),
        d_token(DType::f64, std::vector<double>(static_cast<size_t>(half * width), 0.0));
    Embedding a{DType::f64,   1,       5,       width, half, 0, ids_array.as<int64_t>(),
                token.data(), nullptr, y.data()};
    a.first_id = first, a.all_ids = 2 * half;
    embedding_forward(a, test_stream());
    const auto part = y.read();
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
    EmbeddingBackward b{
        DType::f64,     1,      5, width, half, 0, ids_array.as<int64_t>(), dy_array.data(),
        d_token.data(), nullptr};
    b.first_id = first;
    const Array space = workspace(embedding_backward_workspace(b, test_device()));
    b.workspace = space.data();
    embedding_backward(b, test_stream());
    const auto rows = d_token.read();
    gradient.insert(gradient.end(), rows.begin(), rows.end());
  }
  for (size_t r = 0; r < ids.size(); ++r) {
    for (size_t i = 0; i < 8; ++i) {
      const auto at = static_cast<size_t>(ids[r]) * 8 + i;
      if (ids[r] == 10) {
        EXPECT_TRUE(std::isnan(sum[r * 8 + i]));
      } else {
        EXPECT_EQ(sum[r * 8 + i], table[at]);
        EXPECT_EQ(gradient[at], dy[r * 8 + i]);
      }
    }
  }
}

TEST(Embedding, SameBitsEveryTime) {
  const Case c{DType::f32, 8, 100, 48, 20, 7};
  const auto ids = ids_of(c), dy = normal_values(c.rows() * c.width, 3);
  expect_same_bits([&] { return run_backward(c, ids, dy).bits; });
}

}  // namespace
}  // namespace ocoee::kernels::test
