//! Phrases that tell a notice from text, in the languages of the corpora; written for the project.
//!
//! **Why**: "accept all cookies" has the shape of a sentence. Each phrase is one that prose on any subject is very
//! unlikely to hold in a short line. One automaton finds them all in one pass.

use aho_corasick::{AhoCorasick, Match};
use std::sync::Arc;

/// A set of phrases.
#[derive(Clone)]
pub struct Phrases(Option<Arc<AhoCorasick>>);

/// Short lines that hold one of these are left out, sentences too.
const NOTICES: &[&str] = &[
    // any
    "[edit]",
    "[editar",
    "[编辑]",
    "[編輯]",
    "[編集]",
    "[แก้]",
    "[편집]",
    "[править",
    "[sửa",
    "[değiştir",
    "[modifier",
    "[bearbeiten",
    "[modifica",
    "lorem ipsum",
    "usamos cookies",
    "utilizamos cookies",
    "utiliza cookies",
    "usa cookies",
    "aceitar cookies",
    "aceite os cookies",
    "uso de cookies",
    "use cookies",
    "uses cookies",
    "using cookies",
    "accept cookies",
    "all cookies",
    "des cookies",
    "i cookie",
    "verwendet cookies",
    "verwenden cookies",
    "использует cookie",
    "використовує cookie",
    "çerez kullan",
    "cookies própri",
    "enable javascript",
    "ative o javascript",
    "使用cookie",
    "使用 cookie",
    "cookieを",
    "クッキーを使用",
    "쿠키를 사용",
    "ใช้คุกกี้",
    "कुकीज़ का",
    "χρησιμοποιεί cookies",
    "hutumia vidakuzi",
    // pt, gl
    "todos os direitos reservados",
    "direitos reservados",
    "partilhar:",
    "partilhar no",
    "leia também",
    "veja também",
    "veja mais",
    "saiba mais:",
    "clique aqui",
    "deixe seu comentário",
    "deixe um comentário",
    "deixe o seu comentário",
    "comentários (",
    "comentários encerrados",
    "posts relacionados",
    "artigos relacionados",
    "notícias relacionadas",
    "política de privacidade",
    "termos de uso",
    "termos e condições",
    "mapa do site",
    "mapa do sítio",
    "fale conosco",
    "siga a gente",
    "assine já",
    "assine nosso",
    "subscreva a",
    "voltar ao topo",
    "continua após a publicidade",
    "próximo artigo:",
    "artigo anterior:",
    "voltar para o início",
    "página não encontrada",
    "min de leitura",
    "minutos de leitura",
    "reprodução proibida",
    "esqueci minha senha",
    "baixe nosso aplicativo",
    "volver ao inicio",
    "dereitos reservados",
    // es, ca
    "todos los derechos reservados",
    "derechos reservados",
    "lea también",
    "lee también",
    "véase también",
    "haz clic aquí",
    "haga clic aquí",
    "deja un comentario",
    "deja tu comentario",
    "artículos relacionados",
    "política de privacidad",
    "aviso legal",
    "volver arriba",
    "tots els drets reservats",
    // en
    "all rights reserved",
    "share this",
    "share on",
    "read also",
    "related posts",
    "related articles",
    "click here",
    "leave a comment",
    "leave a reply",
    "privacy policy",
    "terms of use",
    "terms of service",
    "terms and conditions",
    "subscribe to",
    "follow us",
    "back to top",
    "skip to content",
    "min read",
    "page not found",
    "add to cart",
    // fr
    "tous droits réservés",
    "partager sur",
    "lire aussi",
    "cliquez ici",
    "laisser un commentaire",
    "politique de confidentialité",
    "mentions légales",
    "haut de page",
    // de
    "alle rechte vorbehalten",
    "teilen auf",
    "weiterlesen",
    "lesen sie auch",
    "hier klicken",
    "kommentar schreiben",
    "datenschutzerklärung",
    "jetzt abonnieren",
    "folgen sie uns",
    // it
    "tutti i diritti riservati",
    "condividi su",
    "leggi anche",
    "leggi tutto",
    "clicca qui",
    "lascia un commento",
    "informativa sulla privacy",
    "seguici su",
    "torna su",
    // ru, uk
    "все права защищены",
    "читайте также",
    "читать далее",
    "смотрите также",
    "см. также",
    "нажмите здесь",
    "оставить комментарий",
    "политика конфиденциальности",
    "усі права захищено",
    "всі права захищені",
    "поділитися",
    "читайте також",
    "політика конфіденційності",
    "файлы cookie",
    // tr
    "tüm hakları saklıdır",
    "ayrıca bakınız",
    "devamını oku",
    "tıklayın",
    "yorum yap",
    "gizlilik politikası",
    "abone ol",
    "bizi takip edin",
    "başa dön",
    // el
    "με επιφύλαξη παντός δικαιώματος",
    "διαβάστε επίσης",
    "διαβάστε περισσότερα",
    "δείτε επίσης",
    "κάντε κλικ",
    "αφήστε σχόλιο",
    "πολιτική απορρήτου",
    "όροι χρήσης",
    "ακολουθήστε μας",
    // pl
    "wszelkie prawa zastrzeżone",
    "czytaj także",
    "czytaj więcej",
    "zobacz też",
    "kliknij tutaj",
    "dodaj komentarz",
    "polityka prywatności",
    "zapisz się",
    // vi, id, sw
    "bản quyền",
    "chia sẻ bài",
    "xem thêm:",
    "đọc thêm:",
    "bấm vào đây",
    "để lại bình luận",
    "chính sách bảo mật",
    "đăng ký nhận",
    "hak cipta",
    "baca juga",
    "klik di sini",
    "tinggalkan komentar",
    "kebijakan privasi",
    "haki zote zimehifadhiwa",
    "soma zaidi",
    "soma pia",
    "bofya hapa",
    "acha maoni",
    "sera ya faragha",
    // ar, fa, he
    "جميع الحقوق محفوظة",
    "شارك على",
    "شارك المقال",
    "اقرأ أيضا",
    "اقرأ المزيد",
    "انظر أيضا",
    "اضغط هنا",
    "أضف تعليق",
    "اترك تعليق",
    "سياسة الخصوصية",
    "ملفات تعريف الارتباط",
    "تمامی حقوق محفوظ",
    "بیشتر بخوانید",
    "همچنین ببینید",
    "کلیک کنید",
    "כל הזכויות שמורות",
    "קראו גם",
    "לחצו כאן",
    "מדיניות פרטיות",
    // hi, bn
    "सर्वाधिकार सुरक्षित",
    "शेयर करें",
    "यह भी पढ़ें",
    "और पढ़ें",
    "यहाँ क्लिक",
    "यहां क्लिक",
    "टिप्पणी करें",
    "गोपनीयता नीति",
    "सदस्यता लें",
    "সর্বস্বত্ব সংরক্ষিত",
    "আরও পড়ুন",
    "শেয়ার করুন",
    // th
    "สงวนลิขสิทธิ์",
    "อ่านเพิ่มเติม",
    "ดูเพิ่มเติม",
    "คลิกที่นี่",
    "แสดงความคิดเห็น",
    "นโยบายความเป็นส่วนตัว",
    "ติดตามเรา",
    "ดูบทความหลักที่",
    // zh, ja, ko
    "版权所有",
    "版權所有",
    "保留所有权利",
    "保留所有權利",
    "分享到",
    "阅读更多",
    "閱讀更多",
    "相关文章",
    "相關文章",
    "点击这里",
    "點擊這裡",
    "发表评论",
    "發表評論",
    "隐私政策",
    "隱私政策",
    "使用条款",
    "上一篇",
    "下一篇",
    "关注我们",
    "主条目：",
    "主條目：",
    "无断転載",
    "無断転載",
    "シェアする",
    "続きを読む",
    "関連記事",
    "こちらをクリック",
    "コメントを残す",
    "プライバシーポリシー",
    "利用規約",
    "ページの先頭",
    "모든 권리",
    "무단 전재",
    "무단전재",
    "관련 기사",
    "여기를 클릭",
    "댓글 달기",
    "댓글 쓰기",
    "구독하기",
    // am
    "መብቱ በሕግ",
    "መብቱ የተጠበቀ",
    "ያጋሩ",
    "ተጨማሪ ያንብቡ",
    "አስተያየት ይስጡ",
];

/// Lines without a sentence end that hold one of these are left out; sentences may well speak of them.
const LABELS: &[&str] = &[
    "abonnez-vous",
    "advertisement",
    "atualizado a",
    "atualizado em",
    "bagikan",
    "captcha",
    "ciasteczka",
    "comparte est",
    "comparteix",
    "compartilhar",
    "compartilhe",
    "compartir en",
    "cookie",
    "cookies",
    "impressum",
    "imprimir",
    "inscreva-se",
    "iscriviti",
    "javascript",
    "leer más",
    "leia mais",
    "log in",
    "nach oben",
    "newsletter",
    "partilhe est",
    "paylaş",
    "pinterest",
    "postado por",
    "posted
    by",
    "posted on",
    "powered by",
    "pubblicato il",
    "publicado el",
    "publicado em",
    "publicado por",
    "publicidade",
    "published on",
    "publié le",
    "read more",
    "see also",
    "shiriki kwenye",
    "siehe auch",
    "siga-nos",
    "sign in",
    "sign up",
    "suivez-nous",
    "suscríbase",
    "suscríbete",
    "síguenos",
    "udostępnij",
    "ver también",
    "ver também",
    "voir aussi",
    "whatsapp",
    "çerez",
    "εγγραφείτε",
    "κοινοποίηση",
    "наверх",
    "поделитися",
    "поделиться",
    "подписывайтесь",
    "подпишитесь",
    "реклама",
    "שתפו",
    "اشترك",
    "تابعنا",
    "कुकीज़",
    "คุกกี้",
    "สมัครรับ",
    "อ่านต่อ",
    "แชร์",
    "クッキー",
    "メルマガ",
    "개인정보",
    "공유하기",
    "더 보기",
    "더보기",
    "쿠키",
];

impl Phrases {
    /// What tells a notice.
    pub fn notices() -> Self {
        Self::of(NOTICES)
    }

    /// What tells a label: a button, a link, a line of dates.
    pub fn labels() -> Self {
        Self::of(LABELS)
    }

    /// A set of phrases in lower case; upper case and a first capital are found too.
    pub fn of(phrases: &[&str]) -> Self {
        let mut forms: Vec<String> = Vec::with_capacity(phrases.len() * 3);
        for phrase in phrases {
            let mut chars = phrase.chars();
            let first = chars.next().map(|c| c.to_uppercase().chain(chars).collect());
            forms.extend(
                [Some((*phrase).to_owned()), Some(phrase.to_uppercase()), first].into_iter().flatten(),
            );
        }
        forms.sort_unstable();
        forms.dedup();
        // An automaton of fixed patterns of this size always builds.
        Self(AhoCorasick::new(forms).ok().map(Arc::new))
    }

    /// Whether one of them stands in the text, on word boundaries where the script has them.
    pub fn found(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|automaton| automaton.find_iter(text).any(|found| whole(text, found)))
    }

    /// How many of them stand in the text; overlapping ones count once.
    pub fn count(&self, text: &str) -> usize {
        self.0
            .as_ref()
            .map_or(0, |automaton| automaton.find_iter(text).filter(|found| whole(text, *found)).count())
    }
}

/// No letter of an alphabet goes on where the match ends or leads to where it starts.
fn whole(text: &str, found: Match) -> bool {
    let joined = |outer: Option<char>, inner: Option<char>| {
        outer.zip(inner).is_some_and(|(outer, inner)| alphabetic(outer) && alphabetic(inner))
    };
    let before = text.get(..found.start()).and_then(|head| head.chars().next_back());
    let first = text.get(found.start()..).and_then(|tail| tail.chars().next());
    let last = text.get(..found.end()).and_then(|head| head.chars().next_back());
    let after = text.get(found.end()..).and_then(|tail| tail.chars().next());
    !joined(before, first) && !joined(last, after)
}

fn alphabetic(c: char) -> bool {
    c.is_alphabetic() && (c as u32) < 0x0e00
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_found_in_any_case_and_only_as_words() {
        let notices = Phrases::notices();
        for line in [
            "Este site utiliza cookies para melhorar sua experiência.",
            "TODOS OS DIREITOS RESERVADOS",
            "Leia também: Bolo de fubá",
            "版权所有 2024",
            "Все права защищены.",
            "आगे यह भी पढ़ें",
        ] {
            assert!(notices.found(line), "{line}");
        }
        for line in ["A repartição dos lucros.", "A maré sobe duas vezes por dia.", "subsign insight"] {
            assert!(!notices.found(line), "{line}");
        }
    }
}
