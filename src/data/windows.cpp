// SPDX-License-Identifier: Apache-2.0
#include "data/windows.h"

#include <algorithm>

#include "core/error.h"
#include "core/random.h"
#include "data/nucleotide.h"

namespace ocoee::data {
namespace {

size_t segment_at(const std::vector<int64_t>& first, int64_t index) {
  return static_cast<size_t>(std::upper_bound(first.begin(), first.end(), index) - first.begin()) -
         1;
}

int64_t unknown_words(const Tokenizer& tokenizer, std::string_view letters) {
  const size_t piece = size_t{1} << 16;  // words
  std::vector<int64_t> ids(piece);
  const size_t size = piece * static_cast<size_t>(tokenizer.letters_per_token());
  int64_t unknown = 0;
  for (size_t at = 0; at < letters.size(); at += size) {
    const std::string_view some = letters.substr(at, size);
    tokenizer.encode(some, ids.data());
    const auto end =
        ids.begin() + static_cast<int64_t>(some.size()) / tokenizer.letters_per_token();
    unknown += std::count(ids.begin(), end, kUnknown);
  }
  return unknown;
}

void require_context(int64_t context) {
  if (context < 1) fail(ErrorKind::config, "context is {}; expected 1 token or more", context);
}

}  // namespace

WindowSource::WindowSource(Part part, std::shared_ptr<const Tokenizer> tokenizer,
                           WindowOptions options)
    : part_(std::move(part)), tokenizer_(std::move(tokenizer)), options_(options) {
  require_context(options_.context);
  fields_ = {{"tokens", DType::i64, {options_.context + 1}}};
  window_ = options_.context * tokenizer_->letters_per_token();
  first_place_ = {0};
  int64_t longest = 0;
  for (const Segment& segment : part_.segments) {
    const auto size = static_cast<int64_t>(segment.letters.size());
    longest = std::max(longest, size);
    int64_t places = std::max<int64_t>(0, size - window_ + 1);
    if (places == 0) letters_skipped_ += size;
    if (places > 0 && options_.circular && segment.whole_record) places = size;
    first_place_.push_back(first_place_.back() + places);
  }
  if (first_place_.back() == 0) {
    fail(ErrorKind::data,
         "no training record is as long as a window: {} tokens of {} letter{} are {} letters, the "
         "longest piece of the training data has {}. Fix: a smaller context (model.context), or "
         "longer "
         "records",
         options_.context, tokenizer_->letters_per_token(),
         tokenizer_->letters_per_token() == 1 ? "" : "s", window_, longest);
  }
}

void WindowSource::fill(int64_t position, const std::vector<void*>& rows) const {
  const auto id = static_cast<uint64_t>(position);
  RandomStream offsets(options_.seed, Purpose::data_offset, 0, id);
  const auto place = static_cast<int64_t>(offsets.below(static_cast<uint64_t>(places())));
  const size_t index = segment_at(first_place_, place);
  const std::string_view letters = part_.segments[index].letters;
  const auto begin = static_cast<size_t>(place - first_place_[index]);
  const auto size = static_cast<size_t>(window_);

  std::string_view window = letters.substr(begin, size);
  std::string wrapped, other_strand;
  if (window.size() < size) {
    wrapped.reserve(size);
    wrapped.append(window).append(letters.substr(0, size - window.size()));
    window = wrapped;
  }
  if (options_.both_strands) {
    RandomStream strands(options_.seed, Purpose::data_augmentation, 0, id);
    if (strands.next32() >> 31) {
      other_strand = reverse_complement(window);
      window = other_strand;
    }
  }
  auto* tokens = static_cast<int64_t*>(rows[0]);
  tokens[0] = kBegin;
  tokenizer_->encode(window, tokens + 1);
}

HeldOutSource::HeldOutSource(Part part, std::shared_ptr<const Tokenizer> tokenizer, int64_t context)
    : part_(std::move(part)), tokenizer_(std::move(tokenizer)), context_(context) {
  require_context(context_);
  fields_ = {{"tokens", DType::i64, {context_ + 1}}, {"weights", DType::f32, {context_}}};
  const int letters = letters_per_token();
  first_window_ = {0};
  for (const Segment& segment : part_.segments) {
    const int64_t words = static_cast<int64_t>(segment.letters.size()) / letters;
    first_window_.push_back(first_window_.back() + (words + context_ - 1) / context_);
    letters_scored_ += letters * (words - unknown_words(*tokenizer_, segment.letters));
  }
  if (letters_scored_ == 0) {
    fail(ErrorKind::config,
         "nothing is held out to be scored ({} letters). Fix: a larger held_out, such as 0.1",
         part_.letters());
  }
}

size_t HeldOutSource::segment_of(int64_t position) const {
  OCOEE_CHECK(position >= 0 && position < size());
  return segment_at(first_window_, position);
}

void HeldOutSource::fill(int64_t position, const std::vector<void*>& rows) const {
  auto* tokens = static_cast<int64_t*>(rows[0]);
  auto* weights = static_cast<float*>(rows[1]);
  int64_t words = 0;
  if (position < size()) {
    const size_t index = segment_of(position);
    const auto letters = static_cast<size_t>(letters_per_token());
    const auto window = static_cast<size_t>(context_) * letters;
    const auto begin = static_cast<size_t>(position - first_window_[index]) * window;
    const std::string_view text = part_.segments[index].letters.substr(begin, window);
    words = static_cast<int64_t>(text.size() / letters);
    tokenizer_->encode(text, tokens + 1);
  }
  tokens[0] = kBegin;
  std::fill(tokens + 1 + words, tokens + 1 + context_, kPad);
  for (int64_t i = 0; i < context_; ++i) {
    weights[i] = i < words && tokens[i + 1] != kUnknown ? 1.0F : 0.0F;
  }
}

}  // namespace ocoee::data
