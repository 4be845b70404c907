// SPDX-License-Identifier: Apache-2.0
#include "data/fasta.h"

#include <array>

#include "core/error.h"
#include "core/stop_signals.h"
#include "core/text.h"

namespace ocoee::data {
namespace {

constexpr size_t kLongestHeader = 1 << 16;

// The stored letter of each byte of a sequence line, 0 where the byte is not a nucleotide code.
constexpr std::array<char, 256> stored_letters() {
  std::array<char, 256> letters{};
  for (const char c : {'A', 'C', 'G', 'T', 'R', 'Y', 'S', 'W', 'K', 'M', 'B', 'D', 'H', 'V', 'N'}) {
    letters[static_cast<unsigned char>(c)] = c;
    letters[static_cast<unsigned char>(c + 32)] = c;
  }
  letters['U'] = letters['u'] = 'T';
  letters['X'] = letters['x'] = 'N';
  return letters;
}
constexpr auto kStored = stored_letters();

std::string printable(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c < 32 || c > 126) c = c == '\t' ? ' ' : '?';
  }
  return result;
}

std::string shown(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 33 && byte < 127 ? fmt::format("'{}'", c) : fmt::format("byte 0x{:02X}", byte);
}

class Parser {
 public:
  Parser(const std::string& name, FastaSink& sink) : name_(name), sink_(sink) {}

  void feed(std::string_view chunk) {
    letters_.clear();
    letters_.reserve(chunk.size());
    for (const char& c : chunk) {
      if (c == '\n' || c == '\r') {
        end_line(c);
        continue;
      }
      ++column_;
      if (in_header_) {
        if (header_.size() == kLongestHeader) fail_long_header();
        header_.push_back(c);
      } else if (const char letter = kStored[static_cast<unsigned char>(c)];
                 letter && counts_.records > 0) {
        line_is_blank_ = false;
        counts_.lower_case += c >= 'a';
        counts_.uracil += (c | 32) == 'u';
        letters_.push_back(letter);
      } else {
        other(c, chunk.substr(static_cast<size_t>(&c - chunk.data()), 24));
      }
    }
    flush();
  }

  FastaCounts finish() {
    if (column_ > 0) end_line('\n');
    if (counts_.records == 0) {
      fail(ErrorKind::data,
           "{}: not FASTA: the file holds only blank lines; expected '>name', then bases\n    fix: "
           "copy or download it again",
           name_);
    }
    end_record();
    if (counts_.bases == 0) {
      fail(ErrorKind::data,
           "{}: the file has {} header{} but no bases; expected lines of bases below each\n    "
           "fix: copy or download it again",
           name_, counts_.records, counts_.records == 1 ? "" : "s");
    }
    return counts_;
  }

 private:
  void end_line(char c) {
    const bool second_of_pair = c == '\n' && last_was_return_ && column_ == 0;
    last_was_return_ = c == '\r';
    if (second_of_pair) return;
    if (in_header_) {
      begin_record();
    } else {
      counts_.blank_lines += line_is_blank_;
    }
    ++counts_.lines;
    column_ = 0;
    line_is_blank_ = true;
  }

  // A byte that is not a base where one may stand.
  void other(char c, std::string_view rest) {
    if (c == ' ' || c == '\t') return;
    if (counts_.lines == 0 && skip_byte_order_mark(c)) return;
    if (c == '>' && column_ == 1) {
      flush();
      in_header_ = true;
      line_is_blank_ = false;
      header_.clear();
      return;
    }
    if (counts_.records == 0) fail_not_fasta(c, rest);
    fail_letter(c);
  }

  bool skip_byte_order_mark(char c) {
    constexpr std::string_view mark = "\xEF\xBB\xBF";
    if (mark_seen_ == mark.size() || c != mark[mark_seen_] || column_ != 1) return false;
    ++mark_seen_;
    column_ = 0;
    return true;
  }

  void begin_record() {
    in_header_ = false;
    if (counts_.records > 0) end_record();
    ++counts_.records;
    record_bases_ = 0;
    const std::string_view text = trim(header_);
    const size_t space = text.find_first_of(" \t");
    std::string name = printable(text.substr(0, space));
    if (name.empty()) name = fmt::format("unnamed_{}", counts_.records);
    const std::string description =
        space == std::string_view::npos ? "" : printable(trim(text.substr(space)));
    sink_.begin_record(name, description);
  }

  void end_record() { counts_.empty_records += record_bases_ == 0; }

  void flush() {
    if (letters_.empty()) return;
    sink_.add_bases(letters_);
    record_bases_ += static_cast<int64_t>(letters_.size());
    counts_.bases += static_cast<int64_t>(letters_.size());
    letters_.clear();
  }

  [[noreturn]] void fail_not_fasta(char c, std::string_view rest) const {
    const char* fix = c == '@'   ? "this looks like FASTQ: convert it to FASTA first (seqtk seq -A)"
                      : c == ';' ? "remove the comment lines that begin with ';'"
                      : c == 'L'
                          ? "if this is a GenBank file (LOCUS ...), download the FASTA form of it"
                          : "name a FASTA file (.fa, .fasta, .fna; plain or gzip); other texts are "
                            "for the task text_lm, whose recipe `ocoee run --check` looks at";
    fail(ErrorKind::data,
         "{}:{}: not FASTA: expected a line that begins with '>' before anything else, found "
         "'{}'\n    fix: {}",
         name_, counts_.lines + 1, printable(rest.substr(0, rest.find_first_of("\r\n"))), fix);
  }

  [[noreturn]] void fail_letter(char c) const {
    const bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    const char* fix =
        c == '-' || c == '.' ? "remove the gaps of the alignment"
        : c == '>'           ? "a header must begin a line: put a line break before '>'"
        : c == '*' || letter
            ? "if this is a protein, it is the wrong file: Ocoee reads DNA and RNA here"
        : c >= '0' && c <= '9'
            ? "remove the numbers: FASTA has none (GenBank does: download the FASTA form)"
            : "copy or download the file again, or remove the character";
    fail(ErrorKind::data,
         "{}:{}:{}: {} is not a nucleotide code; expected A C G T U, N, or one of R Y S W K M B D "
         "H V, in either case\n    fix: {}",
         name_, counts_.lines + 1, column_, shown(c), fix);
  }

  [[noreturn]] void fail_long_header() const {
    fail(ErrorKind::data,
         "{}:{}: the header line is longer than {} bytes: line breaks are missing, or this is not "
         "a FASTA file\n    fix: copy or download it again",
         name_, counts_.lines + 1, kLongestHeader);
  }

  const std::string& name_;
  FastaSink& sink_;
  FastaCounts counts_;
  std::string letters_, header_;
  int64_t column_ = 0, record_bases_ = 0;
  size_t mark_seen_ = 0;
  bool in_header_ = false, line_is_blank_ = true, last_was_return_ = false;
};

}  // namespace

FastaCounts parse_fasta(ByteReader& reader, const std::string& name, FastaSink& sink) {
  Parser parser(name, sink);
  std::vector<char> chunk(size_t{1} << 18);
  while (const size_t got = reader.read(chunk.data(), chunk.size())) {
    stop_if_signalled();
    parser.feed({chunk.data(), got});
  }
  return parser.finish();
}

std::vector<FastaRecord> read_fasta(const std::filesystem::path& path) {
  FastaCollector collector;
  const auto reader = open_bytes(path);
  parse_fasta(*reader, path.string(), collector);
  return std::move(collector.records);
}

}  // namespace ocoee::data
