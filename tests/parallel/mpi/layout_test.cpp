// SPDX-License-Identifier: Apache-2.0
// Any layout, the same answer: losses, gradients, gradient norms, weights after five AdamW steps
// and the evaluation after them equal those of one rank (three steps where that proves as much).
#include <gtest/gtest.h>

#include <set>
#include <tuple>
#include <utility>

#include "parallel/mpi/layout_cases.h"

namespace ocoee::parallel {
namespace {

TEST(Layout, CasesCoverAllPairs) {
  std::set<std::string> seen;
  size_t count = 0;
  for (const int ranks : {1, 2, 4, 8}) {
    for (const LayoutCase& c : cases(ranks)) {
      ++count;
      std::vector<std::string> of{fmt::format("recompute {}", static_cast<int>(c.recompute)),
                                  c.style};
      if (c.data * c.context > 1) of.push_back(fmt::format("shard {}", static_cast<int>(c.shard)));
      if (c.pipeline > 1) of.emplace_back(plan::name_of(c.schedule));
      if (c.context > 1)
        of.emplace_back(c.method == plan::ContextMethod::ring ? "by ring" : "by heads");
      for (size_t a = 0; a < of.size(); ++a)
        for (size_t b = a + 1; b < of.size(); ++b) seen.insert(of[a] + ", " + of[b]);
      // The embedding of a tied model lies in the first stage and the last.
      if (c.data * c.context * c.pipeline > c.pipeline && c.pipeline > 1 && c.style == "gpt2")
        seen.insert(fmt::format("tied in a pipeline, shard {}", static_cast<int>(c.shard)));
    }
  }
  const size_t recompute = 3, styles = 2, shards = 4, schedules = 4, methods = 2;
  EXPECT_EQ(seen.size(), recompute * (styles + shards + schedules + methods) +
                             styles * (shards + schedules + methods) +
                             shards * (schedules + methods) + schedules * methods + shards);
  EXPECT_GE(count, 120u);
}

TEST(Layout, EveryOneGivesTheSameAnswerInFloat64) {
  for (const LayoutCase& c : cases(testing_support::world().size())) expect_equal(c);
}

TEST(Layout, AndInFloat32) {
  for (LayoutCase c : cases(testing_support::world().size())) {
    c.type = at::kFloat;
    expect_equal(c);
  }
}

std::vector<std::pair<int, int>> pipelines() {  // pipeline, data
  std::vector<std::pair<int, int>> out;
  for (const Factors& f : factorisations(testing_support::world().size())) {
    if (f.tensor * f.context == 1) out.emplace_back(f.pipeline, f.data);
  }
  return out;
}

TEST(Layout, HybridShardsGiveTheSameAnswer) {
  if (testing_support::world().size() < 2) GTEST_SKIP() << "needs two ranks";
  for (const auto& [p, d] : pipelines()) {
    for (int group = 1; group < d; group *= 2) {
      for (const Shard shard : {Shard::states, Shard::gradients, Shard::parameters}) {
        LayoutCase c;
        c.pipeline = p, c.data = d, c.shard = shard, c.shard_group = group, c.steps = 3;
        set_micro_batches(c, 2);
        if (d % group == 0) expect_equal(c);
      }
    }
  }
}

// Each schedule with each recompute mode, in turn over the shapes of the pipeline.
TEST(Layout, OffloadedActivationsComeBackBitEqual) {
  using plan::ScheduleKind;
  comm::World& world = testing_support::world();
  size_t turn = 0;
  for (const auto& [p, d] : pipelines()) {
    ++turn;
    const std::vector<ScheduleKind> schedules{ScheduleKind::gpipe, ScheduleKind::one_f_one_b,
                                              ScheduleKind::interleaved, ScheduleKind::zero_bubble};
    for (size_t i = 0; i < (p > 1 ? schedules.size() : 3); ++i) {
      LayoutCase c;
      c.pipeline = p, c.data = d, c.dropout = 0.1;
      c.layers = std::max(4, 2 * p - 2);  // with embedding and head two parts a stage
      c.recompute = kRecomputes[(i + turn) % 3];
      if (p > 1) c.schedule = schedules[i];
      c.chunks = c.schedule == ScheduleKind::interleaved ? 2 : 1;
      if (!refusal(c).empty()) continue;
      SCOPED_TRACE(c.text());
      comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
      const Outcome kept = train_case(c, mesh, &mesh.world(), 1);
      c.offload = true;
      const Outcome offloaded =
          train_case(c, mesh, &mesh.world(), 1, [](Engine& engine, train::Update&) {
            const Offload::Counters& counted = engine.offload().counters();
            EXPECT_GT(counted.bytes_out, 0);
            EXPECT_EQ(counted.bytes_out, counted.bytes_back);
            EXPECT_EQ(counted.held, 0);
          });
      EXPECT_EQ(kept.losses, offloaded.losses);
      for (const auto& [name, gradient] : kept.gradients)
        EXPECT_TRUE(at::equal(gradient, offloaded.gradients.at(name))) << name;
    }
  }
}

// Micro-batches of two samples whose halves take turns over the tensor axis. On eight ranks, of
// which a core has many, every third layout.
TEST(Layout, HalvesThatTakeTurnsGiveTheSameAnswer) {
  if (testing_support::world().size() < 2) GTEST_SKIP() << "needs two ranks";
  const int ranks = testing_support::world().size();
  size_t turn = 0, answers = 0;
  for (const LayoutCase& any : cases(ranks)) {
    LayoutCase c = any;
    if (c.tensor == 1 || kSamples / c.data < 2) continue;
    c.halves = Halves::on, c.micro = std::max<int64_t>(2, c.micro), c.steps = 3;
    const bool by_heads = c.context == 1 || c.method == plan::ContextMethod::all_to_all;
    if (++turn % 2 == 0) c.dropout = 0.1, c.attention_dropout = by_heads ? 0.1 : 0;
    c.offload = turn % 3 == 0;
    if (!refusal(c).empty() || (ranks > 4 && ++answers % 3 > 0)) continue;
    expect_equal(c);
  }
}

// Of 32 tokens and more in parts of a fifth. Every second layout.
TEST(Layout, LogitsInChunksGiveTheSameAnswer) {
  size_t turn = 0;
  for (LayoutCase c : cases(testing_support::world().size())) {
    c.loss_chunks = 5, c.steps = 3;
    if (turn++ % 2 == 0) expect_equal(c);
  }
}

// Products that take a rank's own rows while the others come, and last while the others leave, with
// every style and recompute mode; micro-batches of as many samples as ranks, whose attention goes
// with them, and of fewer; without dropout and with it, which comes after a sum.
TEST(Layout, OwnRowsApartGiveTheSameAnswer) {
  if (testing_support::world().size() < 2) GTEST_SKIP() << "needs two ranks";
  const int ranks = testing_support::world().size();
  int turn = 0, answers = 0;
  for (const char* style : {"gpt2", "llama"}) {
    for (const auto recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
      LayoutCase c;
      c.style = style, c.recompute = recompute, c.own_rows_first = true, c.steps = 3;
      c.tensor = ranks > 2 && recompute == Recompute::full ? ranks / 2 : ranks;
      c.pipeline = ranks / c.tensor;
      c.micro = turn % 2 == 0 ? 1 : c.tensor;
      c.dropout = turn % 3 == 0 ? 0 : 0.1;
      ++turn;
      if (!refusal(c).empty()) continue;
      expect_equal(c);
      ++answers;
    }
  }
  EXPECT_GE(answers, 4);
}

// Each collective carries what the formulas say: per step and unit, level none sums the gradient
// once; level states moves it once and the values once; level gradients moves gradients each
// micro-batch; level parameters gathers values twice a micro-batch instead.
TEST(Layout, BytesEqualFormulas) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
  comm::Shape shape;
  shape[comm::Axis::data] = world.size();
  for (const Shard shard : {Shard::none, Shard::states, Shard::gradients, Shard::parameters}) {
    for (const char* style : {"llama", "gpt2"}) {
      LayoutCase c;
      c.data = world.size(), c.shard = shard, c.style = style, c.type = at::kFloat;
      SCOPED_TRACE(c.text());
      const bool tied = c.style == "gpt2";  // the head uses the embedding's unit
      comm::Mesh mesh(world, shape, {}, comm::Backend::mpi);
      int64_t whole = 0, first = 0, last = 0;
      comm::Counters counted;
      const int64_t micros = kSamples / c.data, steps = 2;
      train_case(c, mesh, &mesh.world(), steps, [&](Engine& engine, train::Update&) {
        const auto& units = engine.weights().units();
        whole = 4 * engine.weights().elements();
        first = 4 * units.front().elements(), last = 4 * units.back().elements();
        counted = mesh.axis(comm::Axis::data).counters();
      });
      const auto bytes = [&](comm::Kind kind) { return counted.bytes[static_cast<size_t>(kind)]; };
      if (shard == Shard::none) {
        EXPECT_EQ(bytes(comm::Kind::all_reduce), whole * steps);
        EXPECT_EQ(bytes(comm::Kind::all_gather) + bytes(comm::Kind::reduce_scatter), 0);
        continue;
      }
      EXPECT_EQ(bytes(comm::Kind::reduce_scatter),
                whole * steps * (shard == Shard::states ? 1 : micros));
      if (shard != Shard::parameters) {  // values at the start, and once a step
        EXPECT_EQ(bytes(comm::Kind::all_gather), whole * (steps + 1));
        continue;
      }
      // For each forward and each backward, but the last block stays from the one to the other, and
      // the first from there to the next micro-batch. A head that uses the embedding's values
      // gathers them once a micro-batch, for both.
      const int64_t inner = whole - first - last;
      const int64_t step =
          2 * micros * inner + micros * last + (tied ? 2 * micros + 1 : micros + 1) * first;
      EXPECT_EQ(bytes(comm::Kind::all_gather),
                steps * step + whole + (tied ? first : 0));  // and one evaluation
    }
  }
}

// Hybrid: inside a group the same as above; across groups each slice is summed once a step.
TEST(Layout, BytesOfHybridShardsEqualFormulas) {
  comm::World& world = testing_support::world();
  if (world.size() < 4) GTEST_SKIP() << "needs four ranks";
  for (const Shard shard : {Shard::states, Shard::gradients, Shard::parameters}) {
    LayoutCase c;
    c.data = world.size(), c.shard = shard, c.shard_group = 2, c.style = "llama";
    c.type = at::kFloat;
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
    EXPECT_EQ(mesh.shard().size(), 2);
    EXPECT_EQ(mesh.twins().size(), world.size() / 2);
    int64_t whole = 0, reduced = 0, repeated = 0;
    const int64_t micros = kSamples / c.data, steps = 2;
    train_case(c, mesh, &mesh.world(), steps, [&](Engine& engine, train::Update&) {
      whole = 4 * engine.weights().elements();
      const auto count = [](comm::Communicator& group, comm::Kind kind) {
        return group.counters().bytes[static_cast<size_t>(kind)];
      };
      reduced = count(mesh.shard(), comm::Kind::reduce_scatter);
      repeated = count(mesh.twins(), comm::Kind::all_reduce);
      EXPECT_EQ(count(mesh.axis(comm::Axis::data), comm::Kind::reduce_scatter), 0);
    });
    EXPECT_EQ(reduced, whole * steps * (shard == Shard::states ? 1 : micros));
    EXPECT_EQ(repeated, whole / 2 * steps);
  }
}

// What goes over the tensor axis, in units of one activation of a micro-batch, [B * T, width]. A
// layer of the transformer gathers the inputs of its two products that enter, and sums the outputs
// of the two that leave; its backward does the same with gradients, and gathers the two inputs
// again, which are kept by rows: 6 all-gathers and 4 reduce-scatters. The embedding sums its output
// and gathers its gradient; the head gathers twice and sums once.
// Halves that take turns carry as much, in twice as many calls. Full recompute brings the two
// inputs of a layer once more, and sums the first of its outputs, which the second reads; what the
// last makes, and an embedding, nobody asks for again, and the head goes backward at once.
class TensorTraffic : public testing::TestWithParam<std::tuple<Halves, Recompute>> {};

std::string traffic_name(const testing::TestParamInfo<TensorTraffic::ParamType>& one) {
  static const char* const modes[] = {"None", "Selective", "Full"};
  const auto [halves, recompute] = one.param;
  return fmt::format("{}Recompute{}", halves == Halves::on ? "InHalves" : "Whole",
                     modes[static_cast<size_t>(recompute)]);
}

INSTANTIATE_TEST_SUITE_P(Layout, TensorTraffic,
                         testing::Combine(testing::Values(Halves::off, Halves::on),
                                          testing::ValuesIn(kRecomputes)),
                         traffic_name);

TEST_P(TensorTraffic, EqualsFormulas) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
  LayoutCase c;
  c.tensor = world.size(), c.style = "llama", c.type = at::kFloat;
  std::tie(c.halves, c.recompute) = GetParam();
  c.micro = 2;
  // Without recompute there is an evaluation, too: a forward pass.
  c.losses_only = c.recompute != Recompute::none;
  c.heads = 16;  // eight key-value heads
  comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
  int64_t unsplit = 0;
  comm::Counters counted;
  train_case(c, mesh, &mesh.world(), 1, [&](Engine& engine, train::Update&) {
    unsplit = engine.weights().unsplit_gradients().numel();
    counted = mesh.axis(comm::Axis::tensor).counters();
  });
  const int64_t row = 4 * 64, rows = kSamples * kTokens, layers = 8;  // float32
  const auto bytes = [&](comm::Kind kind) { return counted.bytes[static_cast<size_t>(kind)]; };
  const bool again = c.recompute == Recompute::full;
  const int64_t evaluations = c.losses_only ? 0 : 1;
  const int64_t gathers = (again ? 8 : 6) * layers + 3, sums = (again ? 5 : 4) * layers + 2,
                evaluated = evaluations * (2 * layers + 1);
  EXPECT_EQ(bytes(comm::Kind::all_gather), rows * row * (gathers + evaluated));
  EXPECT_EQ(bytes(comm::Kind::reduce_scatter), rows * row * (sums + evaluated));
  // The loss: a maximum, a sum and a target of each row, in each pass; once a step the norms'
  // gradients, and the norm of all gradients.
  EXPECT_EQ(unsplit, (2 * layers + 1) * 64);
  EXPECT_EQ(bytes(comm::Kind::all_reduce), (1 + evaluations) * rows * 3 * 4 + 4 * unsplit + 8);
  const auto calls = [&](comm::Kind kind) { return counted.calls[static_cast<size_t>(kind)]; };
  const int64_t passes = kSamples / c.micro * (c.halves == Halves::on ? 2 : 1);
  EXPECT_EQ(calls(comm::Kind::all_gather), passes * gathers + evaluated);  // of all samples at once
  EXPECT_EQ(calls(comm::Kind::reduce_scatter), passes * sums + evaluated);
  EXPECT_EQ(calls(comm::Kind::all_reduce), 2 * passes + 2 * evaluations + 2);
}

// What this rank has sent to other stages.
int64_t sent_to_stages(comm::Mesh& mesh) {
  std::set<comm::Communicator*> links;
  for (const bool forward : {true, false}) {
    for (const int from : {0, 1}) links.insert(&mesh.link(forward, from));
  }
  int64_t bytes = 0;
  for (comm::Communicator* link : links)
    bytes += link->counters().bytes[static_cast<size_t>(comm::Kind::send)];
  return bytes;
}

// Of a table that embedding and head share, over the ends of a pipeline: its values go to the last
// stage at the start and after each step, its gradient comes back in each.
int64_t times_sent(const LayoutCase& c, int stage, int64_t steps) {
  if (c.style != "gpt2" || c.pipeline == 1) return 0;
  return stage == 0 ? steps + 1 : stage + 1 == c.pipeline ? steps : 0;
}

// With other axes beside it, an axis carries what its formula says of the rank's own rows and
// weights.
void expect_bytes_of_combined_axes(const LayoutCase& c) {
  SCOPED_TRACE(c.text());
  comm::Mesh mesh(testing_support::world(), c.shape(), {}, comm::Backend::mpi);
  train_case(c, mesh, &mesh.world(), 1, [&](Engine& engine, train::Update&) {
    const auto bytes = [&](comm::Communicator& group, comm::Kind kind) {
      return group.counters().bytes[static_cast<size_t>(kind)];
    };
    const int64_t again = c.recompute == Recompute::full ? 1 : 0;
    int64_t gathers = 0, scatters = 0;  // of one activation of a micro-batch
    for (const plan::BlockSpec& block : engine.model().blocks) {
      for (const plan::LayerSpec& layer : block.layers) {
        const bool mixes = layer.kind == "attention";
        gathers += mixes || layer.kind == "mlp" ? 3 + again : 0;
        scatters += mixes || layer.kind == "mlp" ? 2 + (mixes ? again : 0) : 0;
        gathers += layer.kind == "embedding" ? 1 : layer.kind == "head" ? 2 : 0;
        scatters += layer.kind == "embedding" || layer.kind == "head" ? 1 : 0;
      }
    }
    const int64_t rows = kSamples * kTokens / (c.data * c.context), row = 4 * 64;
    comm::Communicator& tensor = mesh.axis(comm::Axis::tensor);
    EXPECT_EQ(bytes(tensor, comm::Kind::all_gather), gathers * rows * row);
    EXPECT_EQ(bytes(tensor, comm::Kind::reduce_scatter), scatters * rows * row);
    if (c.data * c.context > 1) {
      EXPECT_EQ(bytes(mesh.replicas(), comm::Kind::all_reduce), 4 * engine.weights().elements());
    }
    // At each cut a rank sends its own rows once: x, or its gradient.
    const int stage = mesh.coordinate(comm::Axis::pipeline);
    const int64_t cuts = (stage > 0) + (stage + 1 < c.pipeline);
    const int64_t table = plan::padded(kVocabulary, c.tensor) / c.tensor * row;
    EXPECT_EQ(sent_to_stages(mesh),
              cuts * (rows / c.tensor * row + 1024) + times_sent(c, stage, 1) * table);
  });
}

TEST(Layout, BytesOfCombinedAxesEqualFormulas) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
  size_t turn = 0;
  for (const Factors& beside : factorisations(world.size() / 2)) {
    if (beside.tensor > 1) continue;
    ++turn;
    LayoutCase c;
    c.tensor = 2, c.context = beside.context, c.data = beside.data, c.pipeline = beside.pipeline;
    c.type = at::kFloat, c.losses_only = true;
    for (const bool full : {false, true}) {
      if (world.size() > 4 && (turn % 2 == 0) != full) continue;  // in turn, for time
      c.recompute = full ? Recompute::full : Recompute::none;
      c.style = full ? "gpt2" : "llama";
      expect_bytes_of_combined_axes(c);
    }
  }
}

// The context axis: a ring moves keys and values n - 1 times in a forward pass; in a backward pass
// as often again, and their gradients n times. By heads, q, k, v go and the output comes back; in a
// backward pass output and its gradient go, and the gradients of q, k, v come back. Full recompute
// is one more forward pass, and so is an evaluation, which the other runs have.
TEST(Layout, ContextBytesEqualFormulas) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
  for (const bool full : {false, true}) {
    for (const plan::ContextMethod method :
         {plan::ContextMethod::ring, plan::ContextMethod::all_to_all}) {
      LayoutCase c;
      c.context = world.size(), c.style = "llama", c.type = at::kFloat, c.method = method;
      c.recompute = full ? Recompute::full : Recompute::none, c.losses_only = full;
      c.heads = 16;  // eight key-value heads
      SCOPED_TRACE(c.text());
      comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
      comm::Counters counted;
      train_case(c, mesh, &mesh.world(), 1, [&](Engine&, train::Update&) {
        counted = mesh.axis(comm::Axis::context).counters();
      });
      const int64_t n = c.context, heads = 16, kv_heads = 8, layers = 8;
      const int64_t head =
          4 * 4 * kSamples * kTokens / n;  // bytes of one head, of this rank's tokens
      const int64_t sent = counted.bytes[static_cast<size_t>(comm::Kind::send)],
                    exchanged = counted.bytes[static_cast<size_t>(comm::Kind::all_to_all)];
      if (method == plan::ContextMethod::ring) {
        const int64_t forward = n - 1, backward = (n - 1) + n;
        EXPECT_EQ(sent, layers * 2 * kv_heads * head * (2 * forward + backward));
        EXPECT_EQ(exchanged, 0);
      } else {
        const int64_t forward = 2 * heads + 2 * kv_heads, backward = 3 * heads + 2 * kv_heads;
        EXPECT_EQ(sent, 0);
        EXPECT_EQ(exchanged, layers * head * (2 * forward + backward));
      }
    }
  }
}

// Point-to-point traffic of a pipeline: x of each micro-batch once each way at each cut, and a
// stage of several parts has a cut at either end of each.
TEST(Layout, PipelineSendsOneActivationEachWay) {
  comm::World& world = testing_support::world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
  for (const char* style : {"llama", "gpt2"}) {
    for (const int chunks : {1, 2}) {
      LayoutCase c;
      c.pipeline = world.size(), c.style = style, c.type = at::kFloat, c.chunks = chunks;
      c.layers = std::max(8, chunks * c.pipeline - 2);  // with embedding and head enough blocks
      if (chunks > 1) c.schedule = plan::ScheduleKind::interleaved;
      c.losses_only = c.style == "gpt2";  // else there is one evaluation, a forward pass
      SCOPED_TRACE(c.text());
      comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
      int64_t sent = 0;
      train_case(c, mesh, &mesh.world(), 1,
                 [&](Engine&, train::Update&) { sent = sent_to_stages(mesh); });
      const int stage = mesh.coordinate(comm::Axis::pipeline);
      const int64_t onwards = chunks - (stage + 1 == c.pipeline), back = chunks - (stage == 0);
      const int64_t x = kSamples * 4 * kTokens * 64 + 1024;  // and a header
      EXPECT_EQ(sent, (onwards + back) * x + (c.losses_only ? 0 : onwards * x) +
                          times_sent(c, stage, 1) * kVocabulary * 64 * 4);
    }
  }
}

}  // namespace
}  // namespace ocoee::parallel
