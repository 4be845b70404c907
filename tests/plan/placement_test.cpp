// SPDX-License-Identifier: Apache-2.0
// Parts of a model and of a sequence, and the layouts that cannot work.
#include "plan/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <regex>

#include "core/error.h"
#include "models/gpt.h"
#include "models/mlp.h"
#include "plan/sequence.h"

namespace ocoee::plan {
namespace {

using testing::HasSubstr;

models::GptConfig small(const std::string& style) {
  models::GptConfig config;
  config.style = style;
  config.layers = 2;
  config.width = 48;
  config.heads = 12;
  config.kv_heads = style == "llama" ? 6 : 0;
  config.context = 24;
  config.feed_forward = 192;
  return config;
}

TEST(TensorPart, PartsAreTheWhole) {
  for (const std::string style : {"gpt2", "llama"}) {
    const ModelSpec whole = models::build_gpt(small(style), 97);
    for (const int64_t ranks : {1, 2, 3, 6}) {
      std::vector<int64_t> rows(whole.all_parameters().size());
      double flops = 0;
      for (int64_t rank = 0; rank < ranks; ++rank) {
        const ModelSpec part = tensor_part(whole, ranks, rank);
        flops += part.forward_flops_per_token();
        const auto parameters = part.all_parameters(), all = whole.all_parameters();
        ASSERT_EQ(parameters.size(), all.size());
        for (size_t i = 0; i < all.size(); ++i) {
          const ParameterSpec& p = *parameters[i];
          EXPECT_EQ(p.whole_shape(), all[i]->shape) << p.name;
          if (all[i]->tensor_dim < 0 || ranks == 1) {
            EXPECT_EQ(p.shape, all[i]->shape) << p.name;
            continue;
          }
          const auto dim = static_cast<size_t>(p.tensor_dim);
          EXPECT_EQ(p.first, rows[i]) << p.name << " of rank " << rank;
          rows[i] += p.shape[dim];
          if (rank + 1 == ranks) {
            EXPECT_EQ(rows[i], padded(all[i]->shape[dim], ranks)) << p.name;
          }
        }
      }
      // Only the padding of the vocabulary is computed beside the model.
      const double padding = 2.0 * 48 * static_cast<double>(padded(97, ranks) - 97);
      EXPECT_DOUBLE_EQ(flops, whole.forward_flops_per_token() + padding);
    }
  }
}

TEST(SequencePieces, CoverTheSequenceOnceWithEqualWork) {
  for (const ContextMethod method : {ContextMethod::ring, ContextMethod::all_to_all}) {
    for (const int64_t ranks : {1, 2, 3, 4}) {
      std::vector<int> seen(24);
      std::vector<int64_t> work;
      for (int64_t rank = 0; rank < ranks; ++rank) {
        int64_t length = 0, pairs = 0;  // of queries and the keys that they may see
        for (const auto& [first, last] : sequence_pieces(method, 24, ranks, rank)) {
          length += last - first;
          for (int64_t i = first; i < last; ++i) ++seen[static_cast<size_t>(i)], pairs += i + 1;
        }
        EXPECT_EQ(length, 24 / ranks);
        work.push_back(pairs);
      }
      EXPECT_EQ(seen, std::vector<int>(24, 1));
      if (method == ContextMethod::ring) {
        EXPECT_EQ(work, std::vector<int64_t>(static_cast<size_t>(ranks), work[0]));
      }
    }
  }
  EXPECT_THROW(sequence_pieces(ContextMethod::ring, 24, 5, 0), Error);
}

TEST(PipelineCuts, WhatIsOnlyMovedWeighsAsTheComputationThatItHoldsUp) {
  ModelSpec model;
  const auto block = [&](double flops, double elements) {
    LayerSpec layer;
    layer.cost.matmul_flops = flops, layer.cost.bytes_moved = elements;
    model.blocks.push_back({"", {layer}});
  };
  block(0, 1000), block(4e5, 0), block(2e5, 0);
  EXPECT_EQ(pipeline_cuts(model, 2), (std::vector<size_t>{0, 1, 3}));
}

constexpr BatchConfig kBatch{120, 4};

std::string problems_of(const models::GptConfig& config, const LayoutConfig& layout) {
  config::Problems problems;
  check_placement(problems, models::build_gpt(config, 97), kBatch, layout, 120);
  return problems.text();
}

TEST(CheckPlacement, RefusesWithTheReasonAndTheNearestThatWorks) {
  const auto refusal = [](int64_t tensor, int64_t context, const std::string& method = "ring",
                          std::function<void(models::GptConfig&)> change = {}) {
    models::GptConfig config = small("llama");
    if (change) change(config);
    LayoutConfig layout;
    layout.tensor = tensor, layout.context = context, layout.context_method = method;
    return problems_of(config, layout);
  };
  const auto says = [](const char* what, const char* nearest) {
    return AllOf(HasSubstr(what), HasSubstr(std::string("the nearest that works: ") + nearest));
  };
  EXPECT_EQ(refusal(1, 1), "");
  EXPECT_EQ(refusal(2, 2), "");
  EXPECT_EQ(refusal(6, 1), "");
  EXPECT_EQ(refusal(6, 4), "");
  EXPECT_EQ(refusal(1, 3, "all_to_all"), "");
  EXPECT_THAT(refusal(5, 1),
              says("layout.tensor: 5 ranks do not divide the 12 heads", "layout.tensor = 6"));
  EXPECT_THAT(refusal(4, 1),
              says("4 ranks do not divide the 6 key-value heads", "layout.tensor = 3"));
  EXPECT_THAT(refusal(2, 1, "ring", [](auto& c) { c.feed_forward = 63; }),
              says("2 ranks do not divide the inner size 63", "layout.tensor = 3"));
  EXPECT_THAT(refusal(3, 1, "ring", [](auto& c) { c.context = 32; }),
              says("3 ranks do not divide the 32 tokens of a sample", "layout.tensor = 2"));
  EXPECT_THAT(refusal(1, 5), says("does not fall into the 10 pieces that 5 ranks need (ring)",
                                  "layout.context = 6"));
  EXPECT_THAT(refusal(1, 8), says("16 pieces", "layout.context = 6"));
  EXPECT_THAT(refusal(1, 4, "all_to_all"),
              says("all_to_all splits the 12 heads and 6", "layout.context = 3"));
  EXPECT_THAT(refusal(6, 2, "ring", [](auto& c) { c.context = 40; }),
              says("6 tensor ranks do not divide the 20 tokens", "layout.tensor = 2"));
  EXPECT_THAT(refusal(1, 2, "ring", [](auto& c) { c.attention_dropout = 0.1; }),
              says("layout.context_method", "layout.context_method = \"all_to_all\""));
}

TEST(CheckPlacement, RefusesAPipelineThatIsLongerThanTheModel) {
  LayoutConfig layout;
  layout.pipeline = 5;
  EXPECT_THAT(problems_of(small("gpt2"), layout),
              AllOf(HasSubstr("layout.pipeline: pipeline x chunks = 5 parts, but the model has 4"),
                    HasSubstr("the nearest that works: layout.pipeline = 4")));
}

TEST(CheckPlacement, RefusesTooFewMicroBatchesForTheSchedule) {
  LayoutConfig layout;
  layout.pipeline = 2, layout.chunks = 2, layout.schedule = "interleaved";
  EXPECT_THAT(problems_of(small("gpt2"), layout),
              AllOf(HasSubstr("layout.schedule: interleaving over 2 stages needs at least 2 "
                              "micro-batches, not 1"),
                    HasSubstr("the nearest that works: batch.micro = 1")));
}

// The assignments of a message, made.
void assign(const std::string& text, LayoutConfig& layout, BatchConfig& batch) {
  const std::map<std::string, int64_t*> numbers{
      {"layout.tensor", &layout.tensor},           {"layout.context", &layout.context},
      {"layout.pipeline", &layout.pipeline},       {"layout.chunks", &layout.chunks},
      {"layout.shard_group", &layout.shard_group}, {"batch.micro", &batch.micro}};
  const std::map<std::string, std::string*> words{
      {"layout.schedule", &layout.schedule}, {"layout.context_method", &layout.context_method}};
  const std::regex assignment("([a-z]+\\.[a-z_]+) = (?:\"([a-z0-9_]+)\"|([0-9]+))");
  for (std::sregex_iterator at(text.begin(), text.end(), assignment), end; at != end; ++at) {
    const std::smatch& found = *at;
    if (found[3].matched)
      *numbers.at(found[1]) = std::stoll(found[3]);
    else
      *words.at(found[1]) = found[2];
  }
  if (text.find("layout.cuts = []") != std::string::npos) layout.cuts.clear();
}

TEST(CheckPlacement, ZeroBubbleAsksForLayersThatSplitTheirBackward) {
  LayoutConfig layout;
  layout.pipeline = 2, layout.schedule = "zero_bubble";
  const auto told = [&](const ModelSpec& model) {
    config::Problems problems;
    check_placement(problems, model, kBatch, layout, 2);
    return problems.text();
  };
  EXPECT_EQ(told(models::build_gpt(small("llama"), 97)), "");
  EXPECT_THAT(told(models::build_mlp({}, "")),
              AllOf(HasSubstr("the layer 'linear0' (linear) makes them together"),
                    HasSubstr("the nearest that works: layout.schedule = \"1f1b\"")));
}

TEST(CheckPlacement, ProposesNoGroupAndNoCutsThatNoLongerFit) {
  const auto told = [](int64_t ranks, const std::function<void(LayoutConfig&)>& change) {
    models::GptConfig config = small("llama");
    config.layers = 6;  // eight blocks
    LayoutConfig layout;
    change(layout);
    config::Problems problems;
    check_placement(problems, models::build_gpt(config, 97), {24, 4}, layout, ranks);
    return problems.text();
  };
  const auto grouped = [](int64_t group) {
    return [group](LayoutConfig& l) { l.tensor = 4, l.shard = "states", l.shard_group = group; };
  };
  EXPECT_THAT(told(12, grouped(3)), HasSubstr("nearest that works: layout.tensor = 2"));
  EXPECT_THAT(told(24, grouped(5)),  // no divisor of 24
              HasSubstr("nearest that works: layout.tensor = 3, layout.shard_group = 0"));
  EXPECT_THAT(told(2,
                   [](LayoutConfig& l) {
                     l.pipeline = 2, l.chunks = 5, l.schedule = "interleaved";
                     l.cuts = {1, 2, 3, 4, 5, 6, 7, 8, 9};
                   }),
              HasSubstr("nearest that works: layout.chunks = 4, layout.cuts = []"));
}

TEST(CheckPlacement, WhatItProposesPassesEveryCheck) {
  const ModelSpec model = models::build_gpt(small("llama"), 97);
  const std::string marker = "the nearest that works: ";
  int proposed = 0;
  for (const int64_t ranks : {6, 10, 12, 120}) {
    for (const int64_t tensor : {1, 2, 5, 6}) {
      for (const int64_t context : {1, 2, 5}) {
        for (const int64_t pipeline : {1, 2, 5}) {
          for (const int64_t chunks : {1, 2, 4}) {
            for (const char* schedule : {"1f1b", "interleaved"}) {
              LayoutConfig layout;
              layout.tensor = tensor, layout.context = context, layout.pipeline = pipeline;
              layout.chunks = chunks, layout.schedule = schedule;
              // Groups and cuts that fit this layout, where it has them, and others.
              const int64_t turn = proposed % 4;
              if (turn > 0) layout.shard = "states", layout.shard_group = turn;
              for (int64_t cut = 1; turn % 2 == 1 && cut < pipeline * chunks; ++cut)
                layout.cuts.push_back(cut);
              BatchConfig batch = kBatch;
              config::Problems problems;
              check_placement(problems, model, batch, layout, ranks);
              const std::string text = problems.text();
              const size_t at = text.find(marker);
              if (at == std::string::npos) continue;
              ++proposed;
              assign(text.substr(at), layout, batch);
              config::Problems again;
              check_training(again, batch, layout, ranks, {true, true, true, true});
              check_placement(again, model, batch, layout, ranks);
              EXPECT_TRUE(again.empty()) << text << again.text();
            }
          }
        }
      }
    }
  }
  EXPECT_GT(proposed, 100);
}

}  // namespace
}  // namespace ocoee::plan
