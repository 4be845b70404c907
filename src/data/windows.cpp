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

void require_context(int64_t context) {
  if (context < 1) fail(ErrorKind::config, "context is {}; expected 1 token or more", context);
}

// A window is tokens [0, context], of which 0 is kBegin and token i + 1 is word i; a piece [first,
// last) of its inputs needs tokens first .. last.
WindowPieces or_whole(WindowPieces pieces, int64_t context) {
  if (pieces.empty()) pieces.emplace_back(0, context);
  return pieces;
}
int64_t words_of(const WindowPieces& pieces) {
  int64_t words = 0;
  for (const auto& [first, last] : pieces) words += last - first;
  return words;
}
int64_t tokens_of(const WindowPieces& pieces) {
  return words_of(pieces) + static_cast<int64_t>(pieces.size());
}

}  // namespace

int64_t known_words(const Tokenizer& tokenizer, std::string_view letters) {
  const size_t piece = size_t{1} << 16;  // words
  std::vector<int64_t> ids(piece);
  const size_t size = piece * static_cast<size_t>(tokenizer.letters_per_token());
  int64_t known = 0;
  for (size_t at = 0; at < letters.size(); at += size) {
    const std::string_view some = letters.substr(at, size);
    tokenizer.encode(some, ids.data());
    const auto end =
        ids.begin() + static_cast<int64_t>(some.size()) / tokenizer.letters_per_token();
    known += end - ids.begin() - std::count(ids.begin(), end, kUnknown);
  }
  return known;
}

WindowSource::WindowSource(Part part, std::shared_ptr<const Tokenizer> tokenizer,
                           WindowOptions options)
    : part_(std::move(part)), tokenizer_(std::move(tokenizer)), options_(std::move(options)) {
  require_context(options_.context);
  options_.pieces = or_whole(std::move(options_.pieces), options_.context);
  fields_ = {{"tokens", DType::i64, {tokens_of(options_.pieces)}}};
  window_ = options_.context * tokenizer_->letters_per_token();
  first_place_ = {0};
  int64_t longest = 0;
  for (const Segment& segment : part_.segments) {
    const auto size = static_cast<int64_t>(segment.letters.size());
    longest = std::max(longest, size);
    int64_t places = std::max<int64_t>(0, size - window_ + 1);
    if (places == 0) letters_skipped_ += size;
    first_place_.push_back(first_place_.back() + places);
  }
  if (first_place_.back() == 0) {
    fail(ErrorKind::data,
         "no training record is as long as a window: {} tokens of {} letter{} are {} letters, the "
         "longest piece of the training data has {}\n    fix: a smaller context (model.context), "
         "or longer records",
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
  const int64_t begin = place - first_place_[index];
  bool other_strand = false;
  if (options_.both_strands) {
    RandomStream strands(options_.seed, Purpose::data_augmentation, 0, id);
    other_strand = strands.next32() >> 31;
  }
  auto* tokens = static_cast<int64_t*>(rows[0]);
  const int64_t letters_per_token = tokenizer_->letters_per_token();
  std::string piece;
  for (const auto& [first, last] : options_.pieces) {
    // Words first - 1 .. last - 1; their letters on the other strand lie as far from the end.
    const int64_t first_word = std::max<int64_t>(0, first - 1);
    int64_t from = first_word * letters_per_token;
    const int64_t size = (last - first_word) * letters_per_token;
    if (other_strand) from = window_ - from - size;
    from += begin;
    const auto length = static_cast<int64_t>(letters.size());
    if (from >= length) from -= length;  // of a ring
    std::string_view some = letters.substr(static_cast<size_t>(from), static_cast<size_t>(size));
    if (static_cast<int64_t>(some.size()) < size) {
      const size_t missing = static_cast<size_t>(size) - some.size();
      piece.assign(some).append(letters.substr(0, missing));
      some = piece;
    }
    if (other_strand) {
      piece = reverse_complement(some);
      some = piece;
    }
    if (first == 0) *tokens++ = kBegin;
    tokenizer_->encode(some, tokens);
    tokens += last - first_word;
  }
}

HeldOutSource::HeldOutSource(Part part, std::shared_ptr<const Tokenizer> tokenizer, int64_t context,
                             WindowPieces pieces)
    : part_(std::move(part)),
      tokenizer_(std::move(tokenizer)),
      context_(context),
      pieces_(or_whole(std::move(pieces), context)) {
  require_context(context_);
  fields_ = {{"tokens", DType::i64, {tokens_of(pieces_)}},
             {"weights", DType::f32, {words_of(pieces_)}}};
  const int letters = letters_per_token();
  first_window_ = {0};
  for (const Segment& segment : part_.segments) {
    const int64_t words = static_cast<int64_t>(segment.letters.size()) / letters;
    first_window_.push_back(first_window_.back() + (words + context_ - 1) / context_);
    letters_scored_ += letters * known_words(*tokenizer_, segment.letters);
  }
  if (letters_scored_ == 0 && first_window_.back() > 0) {
    fail(ErrorKind::data,
         "'{}': nothing of the {} letters held out can be scored, for each word of them holds one "
         "that is unknown, such as N",
         part_.segments.front().record, part_.letters());
  }
  if (letters_scored_ == 0) {
    fail(ErrorKind::config,
         "nothing is held out to be scored ({} letters)\n    fix: a larger held_out, such as 0.1",
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
  const auto letters = static_cast<int64_t>(letters_per_token());
  std::string_view window;
  int64_t words = 0;
  if (position < size()) {
    const size_t index = segment_of(position);
    const int64_t begin = (position - first_window_[index]) * context_ * letters;
    window = part_.segments[index].letters.substr(static_cast<size_t>(begin),
                                                  static_cast<size_t>(context_ * letters));
    words = static_cast<int64_t>(window.size()) / letters;
  }
  for (const auto& [first, last] : pieces_) {
    const int64_t from =
                      std::max<int64_t>(0, first - 1),  // the first word, and those that are there
        there = std::clamp<int64_t>(words - from, 0, last - from);
    if (first == 0) *tokens++ = kBegin;
    tokenizer_->encode(window.substr(static_cast<size_t>(std::min(from, words) * letters),
                                     static_cast<size_t>(there * letters)),
                       tokens);
    std::fill(tokens + there, tokens + (last - from), kPad);
    tokens += last - from;
    for (int64_t i = first; i < last; ++i)
      *weights++ = i < words && tokens[i - last] != kUnknown ? 1.0F : 0.0F;
  }
}

}  // namespace ocoee::data
