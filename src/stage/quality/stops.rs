//! The commonest words of some languages; written for the project.
//!
//! **Why**: running prose cannot do without them, lists of names, keywords and machine text can. In scripts without
//! spaces they are single characters.

use crate::model::Lang;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

const WORDS: &[(&str, &str)] = &[
    (
        "por_Latn",
        "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das à seu sua ou ser quando muito há nos já está eu também só pelo pela até isso ela entre era",
    ),
    (
        "spa_Latn",
        "de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha me si sin sobre este ya entre cuando todo esta ser son dos también fue había era muy",
    ),
    (
        "glg_Latn",
        "de a o que e do da en un para é con non unha os no se na por máis as dos como mais foi ao das á seu súa ou ser cando moi hai nos xa está tamén só polo pola ata entre era",
    ),
    (
        "cat_Latn",
        "de la que el en i a els es del les un per amb no una seu seva és al com més o però les ha si sobre aquest ja entre quan tot aquesta ser són dels ha va també l d s n",
    ),
    (
        "eng_Latn",
        "the of and to a in is it that was for on are as with his they at be this from have or by one had not but what all were we when your can said there use an each which she do how their if will",
    ),
    (
        "fra_Latn",
        "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont la avec ou son cette ses mais comme on tout nous sa fait été aussi leur bien peut l d qu s n c",
    ),
    (
        "deu_Latn",
        "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über so zum war haben nur oder",
    ),
    (
        "ita_Latn",
        "di e il la che in a un per è una con del non le della i si da al come più dei o ma alla nel sono anche ha gli lo se delle su dal ed era ad sua suo nella mi questo l d",
    ),
    (
        "pol_Latn",
        "w i z na do się nie o że to jest od po za jak a przez przy dla co ale był oraz jego być była tym tego które który ma także tak jako już jej czy są lub roku",
    ),
    (
        "ron_Latn",
        "de și în a la cu o pe un din care că este să se nu mai pentru fi au prin sau cel lui după sunt ca o al ale fost",
    ),
    (
        "nld_Latn",
        "de van het een en in is dat op te zijn met die voor niet aan er om ook als dan maar bij of uit nog naar heeft ze hij worden wordt door",
    ),
    (
        "tur_Latn",
        "ve bir bu da de için ile o çok en gibi daha olarak ne var kadar sonra olan ama ya ki her şey mi ben göre ise değil iki hem bunu biz eden idi",
    ),
    (
        "vie_Latn",
        "và của là có được cho không trong một với các những người đã này để khi đó từ về ở ra thì như đến tại cũng theo phải hoặc vào trên việc năm sự",
    ),
    (
        "ind_Latn",
        "yang dan di dengan untuk ini itu dari dalam tidak pada ke akan adalah juga saya ada bisa oleh atau karena lebih sudah banyak seperti kita mereka dapat nya sangat orang",
    ),
    (
        "swh_Latn",
        "na ya wa kwa ni za la katika kama hii cha yake lakini hiyo sana si alikuwa yao huo wao kuwa hivyo zaidi pia au watu vya yangu moja wake huyo ili kila kisha",
    ),
    (
        "rus_Cyrl",
        "и в не на что с я он как а то по это она к но из у за от же его о так все для было мы был бы ее ты вы или их при только еще до если есть",
    ),
    (
        "ukr_Cyrl",
        "і в не на що з у та до я як це а він за то по але й від для про його так все ми вона було був їх або коли бути якщо їй мене ще вже є",
    ),
    (
        "ell_Grek",
        "και το να του η της με που την από για τα είναι των ο σε ότι οι στο θα τη στην τον δεν τους αυτό ή μια ένα στη στα έχει όταν",
    ),
    (
        "arb_Arab",
        "في من على أن إلى عن التي الذي هذا ما لا مع كان هذه و أو ذلك كل بين لم هو إن كما قد بعد هي ثم لها له فيها كانت منها عند غير",
    ),
    (
        "pes_Arab",
        "و در به از که این را با است برای آن یک خود تا کرد بر هم نیز می شد او ما بود شده هر باشد دو یا بین سال",
    ),
    (
        "fas_Arab",
        "و در به از که این را با است برای آن یک خود تا کرد بر هم نیز می شد او ما بود شده هر باشد دو یا بین سال",
    ),
    (
        "heb_Hebr",
        "של את על לא הוא עם כי גם זה היא או אל כל בין אך כדי יותר היה אבל רק אם יש עד אחד אני מה שלו לפני אשר אחרי זאת היו",
    ),
    (
        "hin_Deva",
        "के में है की और से का को पर यह ने कि हैं एक भी नहीं लिए हो था तो कर इस थी वह जो ही थे या अपने बहुत होता होती होते तक ये साथ",
    ),
    (
        "ben_Beng",
        "এ ও এই একটা একটি করে না তার থেকে আর কি হয় সে জন্য যে সেই তো নিয়ে সঙ্গে আমি বলে হবে কিন্তু তারা ছিল আমার",
    ),
    ("amh_Ethi", "ነው እና ላይ ውስጥ ወደ እንደ ነበር ግን በጣም ይህ ሁሉ የ ናቸው አንድ ጋር ጊዜ ወይም ከ ብቻ ይህን ስለ ይችላል ምክንያት እስከ በኋላ"),
    (
        "kor_Hang",
        "이 그 수 있다 한 것 등 및 더 이런 할 또는 그리고 있는 것이다 하는 위해 때 다른 없다 많은 두 같은 대한 그러나 하지만 된다 있는데 때문에 것은 것을 않는 큰",
    ),
    (
        "cmn_Hani",
        "的 一 是 在 不 了 有 和 人 这 中 大 为 上 个 国 我 以 要 他 时 来 用 们 於 這 為 個 之 其 也 而 与 會",
    ),
    ("jpn_Jpan", "の に は を た が で て と し れ さ ある い る も な だ ら す か っ こ"),
];

/// Sorted hashes of a language's commonest words, per language.
#[derive(Clone)]
pub(super) struct Stops(BTreeMap<Lang, Vec<u64>>);

impl Stops {
    pub(super) fn get() -> Self {
        let lists = WORDS.iter().filter_map(|(tag, words)| {
            let mut hashes: Vec<u64> = words.split(' ').map(|word| xxh3_64(word.as_bytes())).collect();
            hashes.sort_unstable();
            hashes.dedup();
            Some((Lang::from_tag(tag)?, hashes))
        });
        Self(lists.collect())
    }

    /// The hashes of a language; empty if it has no list.
    pub(super) fn of(&self, lang: Lang) -> &[u64] {
        self.0.get(&lang).map(Vec::as_slice).unwrap_or_default()
    }
}
