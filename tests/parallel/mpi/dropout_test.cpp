// SPDX-License-Identifier: Apache-2.0
// What falls out does not depend on the layout: with dropout on residual additions and on attention
// probabilities, every axis gives one rank's answer in float64.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "parallel/mpi/layout_cases.h"

namespace ocoee::parallel {
namespace {

using plan::ScheduleKind;

// A ring never holds the probabilities, so it is refused with dropout on them; by heads, and
// without a context axis, they fall out too.
bool by_ring(const LayoutCase& c) {
  return c.context > 1 && c.method == plan::ContextMethod::ring;
}

// Every layout of these factors that is not refused.
std::vector<LayoutCase> all_of(const Factors& f) {
  std::vector<LayoutCase> out;
  for (const char* style : {"gpt2", "llama"}) {
    for (const ScheduleKind schedule : {ScheduleKind::one_f_one_b, ScheduleKind::gpipe,
                                        ScheduleKind::interleaved, ScheduleKind::zero_bubble}) {
      for (const Shard shard : {Shard::none, Shard::states, Shard::gradients, Shard::parameters}) {
        for (const Recompute recompute : kRecomputes) {
          for (const auto method : {plan::ContextMethod::all_to_all, plan::ContextMethod::ring}) {
            if (f.pipeline == 1 && schedule != ScheduleKind::one_f_one_b) continue;
            if (f.data * f.context == 1 && shard != Shard::none) continue;
            if (f.context == 1 && method == plan::ContextMethod::ring) continue;
            LayoutCase c;
            c.tensor = f.tensor, c.pipeline = f.pipeline, c.context = f.context, c.data = f.data;
            c.style = style, c.schedule = schedule, c.shard = shard, c.recompute = recompute;
            c.method = method, c.chunks = schedule == ScheduleKind::interleaved ? 2 : 1;
            c.dropout = 0.1, c.attention_dropout = by_ring(c) ? 0 : 0.1;
            if (refusal(c).empty()) out.push_back(c);
          }
        }
      }
    }
  }
  return out;
}

std::string shape_of(int tensor, int pipeline, int context, int data) {
  return fmt::format("tensor {} pipeline {} context {} data {}", tensor, pipeline, context, data);
}

// Its shape; and from four ranks on, where axes meet, the axes of a case and how it goes about each
// of them, in pairs, for its style of model. Of a ring, whose probabilities stay, only what is said
// of rings.
std::set<std::string> meetings(const LayoutCase& c) {
  const std::string shape = shape_of(c.tensor, c.pipeline, c.context, c.data);
  if (c.ranks() < 4) return {c.style + ": " + shape};
  std::vector<std::string> of{fmt::format("recompute {}", static_cast<int>(c.recompute))};
  if (c.tensor > 1) of.emplace_back("tensor");
  if (c.context > 1) of.emplace_back("context");
  if (c.data > 1) of.emplace_back("data");
  if (c.pipeline > 1) of.emplace_back("pipeline"), of.emplace_back(plan::name_of(c.schedule));
  if (c.data * c.context > 1) of.push_back(fmt::format("shard {}", static_cast<int>(c.shard)));
  if (c.context > 1) of.emplace_back(by_ring(c) ? "by ring" : "by heads");
  std::set<std::string> out{shape};
  for (size_t a = 0; a < of.size(); ++a)
    for (size_t b = a + 1; b < of.size(); ++b)
      if (!by_ring(c) || of[b] == "by ring")
        out.insert(fmt::format("{}: {}, {}", c.style, of[a], of[b]));
  return out;
}

size_t count_new(const std::set<std::string>& meetings, const std::set<std::string>& seen) {
  return static_cast<size_t>(std::count_if(meetings.begin(), meetings.end(),
                                           [&](const auto& one) { return !seen.contains(one); }));
}

// Few layouts in which all meet that can, and have not on fewer ranks: again and again the one in
// which the most do. `seen`: those of fewer ranks, then of these too.
std::vector<LayoutCase> dropout_cases(int ranks, std::set<std::string>& seen) {
  if (ranks > 1) dropout_cases(ranks / 2, seen);
  std::vector<LayoutCase> all, out;
  for (const Factors& f : factorisations(ranks)) {
    const auto some = all_of(f);
    all.insert(all.end(), some.begin(), some.end());
  }
  std::vector<std::set<std::string>> of;
  std::transform(all.begin(), all.end(), std::back_inserter(of), meetings);
  while (true) {
    size_t best = 0, most = 0;
    for (size_t i = 0; i < all.size(); ++i)
      if (const size_t more = count_new(of[i], seen); more > most) best = i, most = more;
    if (most == 0) return out;
    seen.insert(of[best].begin(), of[best].end());
    LayoutCase c = all[best];
    c.steps = 3;
    set_micro_batches(c, (out.size() % 2 == 0 ? 2 : 1) * (c.pipeline > 1 ? 2 : 1));
    out.push_back(c);
  }
}

TEST(Dropout, CasesCoverAllPairsForBothStyles) {
  if (testing_support::world().size() > 1) GTEST_SKIP() << "one rank knows them all";
  std::set<std::string> met, known;
  for (const int ranks : {1, 2, 4, 8}) {
    std::set<std::string> fewer;
    for (const LayoutCase& c : dropout_cases(ranks, fewer)) {
      EXPECT_GT(c.dropout, 0);
      EXPECT_EQ(c.attention_dropout > 0, !by_ring(c));
      met.merge(meetings(c));
    }
    for (const Factors& f : factorisations(ranks)) {
      const std::string shape = shape_of(f.tensor, f.pipeline, f.context, f.data);
      if (ranks >= 4)
        known.insert(shape);
      else
        known.insert({"gpt2: " + shape, "llama: " + shape});
    }
  }
  const std::vector<std::vector<std::string>> kinds{{"recompute 0", "recompute 1", "recompute 2"},
                                                    {"tensor"},
                                                    {"context"},
                                                    {"data"},
                                                    {"pipeline"},
                                                    {"gpipe", "1f1b", "interleaved", "zero_bubble"},
                                                    {"shard 0", "shard 1", "shard 2", "shard 3"},
                                                    {"by ring", "by heads"}};
  for (const char* style : {"gpt2", "llama"})
    for (size_t a = 0; a < kinds.size(); ++a)
      for (size_t b = a + 1; b < kinds.size(); ++b)
        for (const std::string& one : kinds[a])
          for (const std::string& other : kinds[b])
            known.insert(fmt::format("{}: {}, {}", style, one, other));
  EXPECT_EQ(met, known);
}

TEST(Dropout, DoesNotDependOnTheLayout) {
  std::set<std::string> seen;
  for (const LayoutCase& c : dropout_cases(testing_support::world().size(), seen)) expect_equal(c);
}

}  // namespace
}  // namespace ocoee::parallel
