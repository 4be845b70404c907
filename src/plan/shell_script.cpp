// SPDX-License-Identifier: Apache-2.0
#include "plan/shell_script.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "core/error.h"
#include "core/text.h"
#include "plan/launch_options.h"

namespace ocoee::plan {
namespace {

constexpr const char* kEnd = "\n";  // the word that ends a command

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

std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : line + " ") {
    if (c != ' ' && c != '\t' && c != '"' && c != '\'' && c != '\\' && c != '=') {
      word += c;
    } else if (!word.empty()) {
      words.push_back(word);
      word.clear();
    }
  }
  return words;
}

std::optional<int64_t> count_in(const std::string& text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && at == end ? std::optional(value) : std::nullopt;
}

// "-n" "8" or "-n8", by the name that the long option has.
std::optional<std::pair<std::string, int64_t>> short_option(const std::string& word,
                                                            const std::string& next) {
  for (const auto& [letter, flag] :
       {std::pair{"-np", "--ntasks"}, {"-n", "--ntasks"}, {"-N", "--nodes"}}) {
    if (!word.starts_with(letter)) continue;
    const std::string rest = word.substr(std::string_view(letter).size());
    if (const auto count = count_in(rest.empty() ? next : rest))
      return std::pair<std::string, int64_t>(flag, *count);
  }
  return std::nullopt;
}

}  // namespace

ShellScript::ShellScript(const std::string& text, std::string name) : name_(std::move(name)) {
  Variables variables;
  std::string document;  // the end word of a here-document
  int number = 0;
  for (const std::string& line : split(text, '\n')) {
    ++number;
    if (!document.empty()) {
      if (trim(line) == document)
        document.clear();
      else
        here_ += variables.put_in(line) + "\n";
      continue;
    }
    const std::string_view bare = trim(line);
    if (bare.starts_with("#SBATCH")) {
      batch_line(std::string(bare.substr(7)));
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
    variables.take(line);
    for (const std::string& word : words_of(variables.put_in(line)))
      words_.push_back({word, number});
    words_.push_back({bare.ends_with('\\') ? "" : kEnd, number});
  }
  std::erase_if(words_, [](const Word& word) { return word.text.empty(); });
  launcher_options();
  for (size_t i = 0; i < words_.size(); ++i) {
    if (!words_[i].text.starts_with("--")) continue;
    const bool has_value = i + 1 < words_.size() && !words_[i + 1].text.starts_with("--") &&
                           words_[i + 1].text != kEnd;
    flags_[words_[i].text] = {has_value ? words_[i + 1].text : "", words_[i].line};
  }
}

bool ShellScript::has(const std::string& flag) const {
  read_.insert(flag);
  return flags_.contains(flag);
}

std::string ShellScript::one_of(const std::string& flag,
                                std::initializer_list<const char*> known) const {
  const auto found = flags_.find(flag);
  if (found == flags_.end()) return "";
  for (const char* word : known) {
    if (found->second.text != word) continue;
    read_.insert(flag);
    return word;
  }
  return "";
}

std::string ShellScript::place(const std::string& flag) const {
  const auto found = flags_.find(flag);
  return found == flags_.end() ? name_ : fmt::format("{}:{}", name_, found->second.line);
}

std::optional<int64_t> ShellScript::number(const std::string& flag) const {
  const auto found = flags_.find(flag);
  if (found == flags_.end()) return std::nullopt;
  read_.insert(flag);
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

int64_t ShellScript::needed(const std::string& flag) const {
  const auto value = number(flag);
  if (!value)
    fail(ErrorKind::config,
         "{}: {} is missing, so the run is not known\n    fix: give the script that starts "
         "pretrain_gpt.py with all its flags",
         name_, flag);
  return *value;
}

std::optional<int64_t> ShellScript::first_of(std::initializer_list<const char*> flags) const {
  std::optional<int64_t> first;
  for (const char* flag : flags) {
    const auto found = flags_.find(flag);
    if (found == flags_.end()) continue;
    read_.insert(flag);
    if (!first) first = count_in(found->second.text);
  }
  for (const char* flag : flags) {
    const auto found = batch_.find(flag);
    if (!first && found != batch_.end()) first = found->second;
  }
  return first;
}

std::vector<std::string> ShellScript::not_read() const {
  std::vector<std::string> out;
  for (const auto& [flag, value] : flags_) {
    if (!read_.contains(flag) && !leaves_the_step(flag))
      out.push_back(value.text.empty() ? flag : flag + " " + value.text);
  }
  return out;
}

void ShellScript::batch_line(const std::string& text) {
  const std::vector<std::string> words = words_of(text);
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string next = i + 1 < words.size() ? words[i + 1] : "";
    if (const auto option = short_option(words[i], next)) batch_.insert(*option);
    // "a100:8" and "gpu:8" count as well.
    const auto count = count_in(next.substr(next.rfind(':') + 1));
    if (words[i] == "--gres" && next.starts_with("gpu:") && count)
      batch_.insert({"--gpus-per-node", *count});
    else if (words[i].starts_with("--") && count)
      batch_.insert({words[i], *count});
  }
}

// Of srun and mpirun, up to the program.
void ShellScript::launcher_options() {
  bool launches = false;
  for (size_t i = 0; i + 1 < words_.size(); ++i) {
    const std::string& word = words_[i].text;
    if (word == "srun" || word == "mpirun" || word == "mpiexec") launches = true;
    if (word == kEnd || word.starts_with("python") || word.ends_with(".py")) launches = false;
    if (!launches) continue;
    if (const auto option = short_option(word, words_[i + 1].text))
      flags_[option->first] = {std::to_string(option->second), words_[i].line};
  }
}

}  // namespace ocoee::plan
