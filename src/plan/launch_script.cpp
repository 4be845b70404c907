// SPDX-License-Identifier: Apache-2.0
#include "plan/launch_script.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "core/error.h"
#include "core/text.h"

namespace ocoee::plan {
namespace {

using nlohmann::json;

struct Word {
  std::string text;
  int line;
};

bool is_name(char c, bool first) {
  return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (!first && c >= '0' && c <= '9');
}

// Variables of the script in the order they are given; unknown ones come from no environment.
class Variables {
 public:
  // $NAME, ${NAME}, ${NAME:-otherwise}; what is not known stays as it stands.
  std::string put_in(const std::string& text) const {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '$' || i + 1 >= text.size()) {
        out += text[i];
        continue;
      }
      const bool braced = text[i + 1] == '{';
      const size_t begin = i + (braced ? 2 : 1);
      size_t end = begin;
      while (end < text.size() && is_name(text[end], end == begin)) ++end;
      const std::string name = text.substr(begin, end - begin);
      const size_t close = braced ? text.find('}', end) : end;
      if (name.empty() || close == std::string::npos) {
        out += text[i];
        continue;
      }
      const std::string rest = braced ? text.substr(end, close - end) : "";
      const auto found = values_.find(name);
      if (found != values_.end())
        out += found->second;
      else if (rest.starts_with(":-") || rest.starts_with(":="))
        out += put_in(rest.substr(2));
      else
        out += text.substr(i, close - i + (braced ? 1 : 0));
      i = close - (braced ? 0 : 1);
    }
    return out;
  }
  // NAME=value at the beginning of a line.
  void take(const std::string& line) {
    std::string text(trim(line));
    if (text.starts_with("export ")) text = std::string(trim(text.substr(7)));
    size_t end = 0;
    while (end < text.size() && is_name(text[end], end == 0)) ++end;
    if (end == 0 || end >= text.size() || text[end] != '=') return;
    std::string value = text.substr(end + 1);
    if (!value.empty() && (value[0] == '"' || value[0] == '\'')) {
      const size_t close = value.find(value[0], 1);
      value = value.substr(1, close == std::string::npos ? close : close - 1);
    } else {
      value = value.substr(0, value.find_first_of(" ;#"));
    }
    values_[text.substr(0, end)] = put_in(arithmetic(value));
  }

 private:
  // $((A * B)) and $((A / B)), as scripts count their ranks.
  std::string arithmetic(const std::string& value) const {
    if (!value.starts_with("$((") || !value.ends_with("))")) return value;
    const std::string inside = value.substr(3, value.size() - 5);
    const size_t at = inside.find_first_of("*/");
    if (at == std::string::npos) return value;
    const auto number = [&](std::string text) -> std::optional<int64_t> {
      text = std::string(trim(text));
      if (!text.empty() && is_name(text[0], true)) text = "$" + text;
      text = put_in(text);
      int64_t n = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
      if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
      return n;
    };
    const auto a = number(inside.substr(0, at)), b = number(inside.substr(at + 1));
    if (!a || !b || *b == 0) return value;
    return std::to_string(inside[at] == '*' ? *a * *b : *a / *b);
  }
  std::map<std::string, std::string> values_;
};

class Script {
 public:
  Script(const std::string& text, std::string name) : name_(std::move(name)) {
    std::string document;  // the end word of a here-document
    int number = 0;
    for (const std::string& line : split(text, '\n')) {
      ++number;
      if (!document.empty()) {
        if (trim(line) == document)
          document.clear();
        else
          here_ += variables_.put_in(line) + "\n";
        continue;
      }
      const std::string_view bare = trim(line);
      if (bare.starts_with("#SBATCH")) {
        batch_line(std::string(bare.substr(7)), number);
        continue;
      }
      if (bare.empty() || bare[0] == '#') continue;
      const size_t here = line.find("<<");
      if (here != std::string::npos && here_.empty()) {
        document = std::string(trim(line.substr(here + 2)));
        document = document.substr(0, document.find_first_of(" \t>"));
        std::erase_if(document, [](char c) { return c == '-' || c == '\'' || c == '"'; });
        continue;
      }
      variables_.take(line);
      const std::string whole = variables_.put_in(line);
      std::string word;
      for (const char c : whole + " ") {
        if (c != ' ' && c != '\t' && c != '"' && c != '\'' && c != '\\' && c != '=') {
          word += c;
        } else if (!word.empty()) {
          words_.push_back({word, number});
          word.clear();
        }
      }
    }
    for (size_t i = 0; i < words_.size(); ++i) {
      if (!words_[i].text.starts_with("--")) continue;
      const bool has_value = i + 1 < words_.size() && !words_[i + 1].text.starts_with("--");
      flags_[words_[i].text] = {has_value ? words_[i + 1].text : "", words_[i].line};
    }
  }

  bool has(const std::string& flag) const { return flags_.contains(flag); }
  std::string place(const std::string& flag) const {
    const auto found = flags_.find(flag);
    return found == flags_.end() ? name_ : fmt::format("{}:{}", name_, found->second.line);
  }
  std::optional<int64_t> number(const std::string& flag) const {
    const auto found = flags_.find(flag);
    if (found == flags_.end()) return std::nullopt;
    const std::string& text = found->second.text;
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
      fail(ErrorKind::config,
           "{}: {} is '{}', no whole number\n    fix: give its value where the script sets it, "
           "variables of the environment are not read",
           place(flag), flag, text);
    return value;
  }
  int64_t needed(const std::string& flag) const {
    const auto value = number(flag);
    if (!value)
      fail(ErrorKind::config,
           "{}: {} is missing, so the run is not known\n    fix: give the script that starts "
           "pretrain_gpt.py with all its flags",
           name_, flag);
    return *value;
  }
  std::optional<int64_t> first_of(std::initializer_list<const char*> flags) const {
    for (const char* flag : flags) {
      if (const auto value = number(flag)) return value;
    }
    return std::nullopt;
  }
  const std::string& here_document() const { return here_; }
  int64_t nodes() const { return nodes_; }

 private:
  void batch_line(const std::string& text, int) {
    std::string all = text;
    for (char& c : all) {
      if (c == '=') c = ' ';
    }
    const std::vector<std::string> parts = split(std::string(trim(all)), ' ');
    if (parts.size() >= 2 && (parts[0] == "-N" || parts[0] == "--nodes"))
      std::from_chars(parts.back().data(), parts.back().data() + parts.back().size(), nodes_);
  }

  std::string name_, here_;
  int64_t nodes_ = 0;
  Variables variables_;
  std::vector<Word> words_;
  std::map<std::string, Word> flags_;
};

class DeepSpeed {
 public:
  DeepSpeed(const std::string& text, std::string name) : text_(text), name_(std::move(name)) {
    if (trim(text).empty()) return;
    try {
      json_ = json::parse(text);
    } catch (const json::parse_error& error) {
      fail(ErrorKind::data, "{}: not JSON: {}\n    fix: give the DeepSpeed configuration", name_,
           error.what());
    }
  }
  std::optional<int64_t> number(const std::string& key) const {
    const json* value = at(key);
    return value && value->is_number() ? std::optional(value->get<int64_t>()) : std::nullopt;
  }
  std::optional<bool> yes(const std::string& key) const {
    const json* value = at(key);
    return value && value->is_boolean() ? std::optional(value->get<bool>()) : std::nullopt;
  }
  std::string place(const std::string& key) const {
    const std::string quoted = "\"" + key.substr(0, key.find('.')) + "\"";
    const size_t found = text_.find(quoted);
    if (found == std::string::npos) return name_;
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<long>(found), '\n');
    return fmt::format("{}:{}", name_, line);
  }

 private:
  const json* at(const std::string& key) const {
    const json* value = &json_;
    for (const std::string& part : split(key, '.')) {
      if (!value->is_object() || !value->contains(part)) return nullptr;
      value = &value->at(part);
    }
    return value;
  }
  std::string text_, name_;
  json json_ = json::object();
};

void check_micro(LaunchedRun& run, const Script& script, const DeepSpeed& deepspeed) {
  const auto other = deepspeed.number("train_micro_batch_size_per_gpu");
  if (!other || *other == run.micro) return;
  std::string effect;
  if (const int64_t data = run.data(); data > 0 && *other > 0 && run.micro > 0) {
    const int64_t accumulation = run.global_batch / (*other * data);
    const double share = static_cast<double>(accumulation * data * run.micro) /
                         static_cast<double>(run.global_batch);
    effect = fmt::format(
        ": the engine will take {} / ({} x {}) = {} passes of {} sample{} a replica, {:.3g} times "
        "the {} samples that are counted",
        run.global_batch, *other, data, accumulation, run.micro, run.micro == 1 ? "" : "s", share,
        run.global_batch);
  }
  run.contradictions.push_back(fmt::format(
      "{}: --micro-batch-size is {}, but {}: train_micro_batch_size_per_gpu is {}{}\n    fix: "
      "write the same number in both, or set the JSON's from the script's variable",
      script.place("--micro-batch-size"), run.micro,
      deepspeed.place("train_micro_batch_size_per_gpu"), *other, effect));
}

void check_same(LaunchedRun& run, const std::string& here, const char* flag, int64_t value,
                const DeepSpeed& deepspeed, const char* key) {
  const auto other = deepspeed.number(key);
  if (other && *other != value)
    run.contradictions.push_back(
        fmt::format("{}: {} is {}, but {}: {} is {}\n    fix: write the same number in both", here,
                    flag, value, deepspeed.place(key), key, *other));
}

void check_precision(LaunchedRun& run, const Script& script, const DeepSpeed& deepspeed) {
  for (const auto& [flag, key, type] : {std::tuple{"--fp16", "fp16.enabled", "float16"},
                                        std::tuple{"--bf16", "bf16.enabled", "bfloat16"}}) {
    const bool here = script.has(flag);
    if (here) run.compute = type;
    const auto there = deepspeed.yes(key);
    if (there && *there != here)
      run.contradictions.push_back(fmt::format(
          "{}: {} {}, but {}: {} is {}\n    fix: state one type in both", script.place(flag), flag,
          here ? "is given" : "is not given", deepspeed.place(key), key, *there));
  }
}

}  // namespace

int64_t LaunchedRun::data() const {
  const int64_t model = tensor * pipeline;
  return devices > 0 && devices % model == 0 ? devices / model : 0;
}

Shard LaunchedRun::shard() const {
  return zero <= 0   ? Shard::none
         : zero == 1 ? Shard::states
         : zero == 2 ? Shard::gradients
                     : Shard::parameters;
}

LaunchedRun read_launch(const std::string& script_text, const std::string& script_name,
                        const std::string& json_text, const std::string& json_name) {
  const Script script(script_text, script_name);
  const bool own = trim(json_text).empty();
  const DeepSpeed deepspeed(own ? script.here_document() : json_text,
                            own ? script_name + " (its JSON)" : json_name);
  LaunchedRun run;
  run.layers = script.needed("--num-layers");
  run.width = script.needed("--hidden-size");
  run.heads = script.needed("--num-attention-heads");
  run.sequence = script.needed("--seq-length");
  run.micro = script.needed("--micro-batch-size");
  run.global_batch = script.needed("--global-batch-size");
  run.feed_forward = script.number("--ffn-hidden-size").value_or(0);
  run.tensor = script.number("--tensor-model-parallel-size").value_or(1);
  run.pipeline = script.number("--pipeline-model-parallel-size").value_or(1);
  run.recompute = script.has("--checkpoint-activations") || script.has("--recompute-activations") ||
                  script.has("--recompute-granularity");
  run.fused_attention = script.has("--use-flash-attn") || script.has("--use-flash-attn-v1") ||
                        script.has("--use-flash-attn-v2");
  run.norms_sharded = script.has("--sequence-parallel");
  const auto ranks = script.first_of({"--ntasks", "--world-size"});
  const auto nodes = script.first_of({"--nodes", "--nnodes", "--num-nodes", "--num_nodes"});
  const auto per_node = script.first_of({"--ntasks-per-node", "--nproc_per_node",
                                         "--nproc-per-node", "--num_gpus", "--gpus-per-node"});
  if (ranks)
    run.devices = *ranks;
  else if (per_node && (nodes || script.nodes() > 0))
    run.devices = nodes.value_or(script.nodes()) * *per_node;
  run.zero = script.number("--zero-stage")
                 .value_or(deepspeed.number("zero_optimization.stage").value_or(0));

  if (run.layers < 1 || run.width < 1 || run.heads < 1 || run.sequence < 1 || run.micro < 1 ||
      run.global_batch < 1 || run.tensor < 1 || run.pipeline < 1)
    fail(ErrorKind::config, "{}: sizes of the model, batch and layout must be at least 1",
         script_name);
  check_micro(run, script, deepspeed);
  check_same(run, script.place("--global-batch-size"), "--global-batch-size", run.global_batch,
             deepspeed, "train_batch_size");
  if (script.number("--zero-stage"))
    check_same(run, script.place("--zero-stage"), "--zero-stage", run.zero, deepspeed,
               "zero_optimization.stage");
  if (run.data() > 0 && run.global_batch % (run.data() * run.micro) == 0)
    check_same(run, script.place("--global-batch-size"),
               "--global-batch-size over data ranks and micro-batch",
               run.global_batch / (run.data() * run.micro), deepspeed,
               "gradient_accumulation_steps");
  check_precision(run, script, deepspeed);
  return run;
}

}  // namespace ocoee::plan
