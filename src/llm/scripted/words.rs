//! Common words by language, so that scripted translations pass the gates of language and script.

use crate::model::Lang;

/// Words that [`crate::stage::identify`] takes for English, many of them function words.
pub(super) const ENGLISH: &[&str] = &[
    "the", "and", "with", "from", "this", "that", "which", "about", "water", "people", "house", "school", "before",
    "after", "because", "through", "between", "during", "without", "another", "country", "morning", "children",
    "through", "little", "between", "important", "different", "government", "history", "question", "together",
    "their", "there", "where", "would", "could", "should", "other", "first", "world", "years", "place", "small",
    "large", "might", "still", "again", "never", "often", "under", "while", "river", "light", "night", "story",
    "of", "in", "to", "is", "it", "for", "on", "as", "was", "at", "by", "be", "are", "we", "or", "they", "have",
    "has", "had", "will", "more", "when", "what", "some", "many", "most", "over", "into", "only", "then", "also",
    "made", "work", "life", "time", "good", "long", "down", "city", "food", "body", "heat", "rain", "wind", "earth",
    "mountain", "weather", "garden", "kitchen", "language", "family", "winter", "summer", "evening", "animals",
];

/// Words of the langs of `data/corpora`; English for any other.
pub(super) fn of(lang: Lang) -> &'static [&'static str] {
    match lang.code() {
        "por" => &["não", "uma", "para", "como", "água", "casa", "quando", "também", "porque", "cidade", "pessoas", "muito"],
        "spa" => &["el", "una", "para", "cómo", "agua", "casa", "cuando", "también", "porque", "ciudad", "personas", "muy"],
        "glg" => &["unha", "para", "como", "auga", "casa", "cando", "tamén", "porque", "cidade", "persoas", "moi", "coa"],
        "arb" => &["في", "من", "على", "هذا", "التي", "كيف", "الماء", "البيت", "عندما", "أيضا", "المدينة", "الناس"],
        "hin" => &["है", "में", "का", "यह", "और", "कैसे", "पानी", "घर", "जब", "भी", "शहर", "लोग"],
        "tha" => &["และ", "ใน", "ที่", "เป็น", "อย่างไร", "น้ำ", "บ้าน", "เมื่อ", "เพราะ", "เมือง", "คน", "มาก"],
        "cmn" => &["的", "在", "是", "我们", "如何", "水", "家", "时候", "因为", "城市", "人们", "非常"],
        "jpn" => &["の", "です", "ます", "どう", "水", "家", "とき", "また", "なぜ", "町", "人々", "とても"],
        "kor" => &["그리고", "에서", "이것", "어떻게", "물", "집", "때", "또한", "왜냐하면", "도시", "사람들", "매우"],
        "rus" => &["и", "в", "это", "как", "вода", "дом", "когда", "также", "потому", "город", "люди", "очень"],
        "swh" => &["na", "ya", "kwa", "jinsi", "maji", "nyumba", "wakati", "pia", "kwa sababu", "mji", "watu", "sana"],
        "tur" => &["ve", "bir", "bu", "nasıl", "su", "ev", "zaman", "ayrıca", "çünkü", "şehir", "insanlar", "çok"],
        "ell" => &["και", "στο", "αυτό", "πώς", "νερό", "σπίτι", "όταν", "επίσης", "επειδή", "πόλη", "άνθρωποι", "πολύ"],
        "amh" => &["እና", "ነው", "ይህ", "እንዴት", "ውሃ", "ቤት", "ጊዜ", "ደግሞ", "ምክንያቱም", "ከተማ", "ሰዎች", "በጣም"],
        "vie" => &["và", "của", "là", "như thế nào", "nước", "nhà", "khi", "cũng", "bởi vì", "thành phố", "người", "rất"],
        _ => ENGLISH,
    }
}
